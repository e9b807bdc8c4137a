//! What an integration says and does: the words of the `integration` interface, and the
//! [`Integration`] trait.

use crate::bindings::integration::exports::tidegate::plugin::integration as wit;
use crate::verify::{Refused, Verified};
use crate::words::{Attempt, Failure, HttpRequest, Outgoing, ProviderEvent, Receipt, Reply};

pub use wit::{Acceptance, Definition};

/// The external provider: who may call us, what its calls mean, how to call it.
pub trait Integration {
    /// The integration's key, what it provides, its settings and the capabilities it asks for.
    fn describe() -> Definition;

    /// Is this request genuine? Judged by the request alone: no network, kv read-only, and the only
    /// "now" is [`HttpRequest::received_at`]. A [`Verdict`] is only to be had for a [`Verified`]
    /// request, see [`verify`](crate::verify).
    ///
    /// # Errors
    /// [`Refused`]: the host answers 401 and stores nothing.
    fn verify(request: &HttpRequest) -> Result<Verdict, Refused>;

    /// What a genuine request says. It may be called again for the same request.
    ///
    /// # Errors
    /// `Permanent` puts the request among the dead letters, `Retry` asks for another try.
    fn parse(request: &HttpRequest) -> Result<Vec<ProviderEvent>, Failure>;

    /// Hands one part to the provider.
    ///
    /// # Errors
    /// Say honestly which: `Ambiguous` when the request may have been carried out.
    fn send(part: Outgoing, attempt: Attempt) -> Result<Receipt, Failure>;

    /// Brings a remote attachment into a blob and returns the blob's id. Unless overridden:
    /// `Permanent`, for integrations that have no remote attachments.
    ///
    /// # Errors
    /// `Retry` while the provider is not ready, `Permanent` when the file cannot be had.
    fn fetch(remote: String) -> Result<String, Failure> {
        let _ = remote;
        Err(Failure::permanent("this integration has no remote attachments"))
    }

    /// "Test connection": are settings and secrets good? A sentence for the operator. Unless
    /// overridden it says that there is nothing to test.
    ///
    /// # Errors
    /// `Unauthorized` pauses the connection's sends; anything else is shown.
    fn check() -> Result<String, Failure> {
        Ok("This integration has no test of its own.".to_owned())
    }
}

impl<T: Integration> wit::Guest for T {
    fn describe() -> Definition {
        T::describe()
    }
    fn verify(request: HttpRequest) -> wit::Verdict {
        match T::verify(&request) {
            Ok(verdict) => verdict.0,
            Err(refused) => wit::Verdict::Refused(refused.into_reason()),
        }
    }
    fn parse(request: HttpRequest) -> Result<Vec<ProviderEvent>, Failure> {
        T::parse(&request)
    }
    fn send(part: Outgoing, attempt: Attempt) -> Result<Receipt, Failure> {
        T::send(part, attempt)
    }
    fn fetch(remote: String) -> Result<String, Failure> {
        T::fetch(remote)
    }
    fn check() -> Result<String, Failure> {
        T::check()
    }
}

/// What becomes of a genuine request. There is no way to make one without a [`Verified`].
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Verdict(wit::Verdict);

impl Verdict {
    /// Store it durably, then answer 200.
    pub fn accept(genuine: Verified<'_>) -> Self {
        let _ = genuine;
        Self(wit::Verdict::Accepted(Acceptance { reply: None, request_id: None, lane: None }))
    }

    /// A handshake: answer, store nothing.
    pub fn answer(genuine: Verified<'_>, reply: Reply) -> Self {
        let _ = genuine;
        Self(wit::Verdict::Answered(reply))
    }

    /// The provider's id of this request: a second one gets the same answer and leaves no row. No
    /// effect on [`answer`](Self::answer).
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        if let wit::Verdict::Accepted(acceptance) = &mut self.0 {
            acceptance.request_id = Some(id.into());
        }
        self
    }

    /// Requests of one lane are worked in the order of their arrival. No effect on
    /// [`answer`](Self::answer).
    pub fn with_lane(mut self, lane: impl Into<String>) -> Self {
        if let wit::Verdict::Accepted(acceptance) = &mut self.0 {
            acceptance.lane = Some(lane.into());
        }
        self
    }

    /// A body that the caller of an accepted request expects. No effect on
    /// [`answer`](Self::answer).
    pub fn with_reply(mut self, reply: Reply) -> Self {
        if let wit::Verdict::Accepted(acceptance) = &mut self.0 {
            acceptance.reply = Some(reply);
        }
        self
    }

    /// What an accepted request is stored with.
    #[must_use]
    pub const fn accepted(&self) -> Option<&Acceptance> {
        match &self.0 {
            wit::Verdict::Accepted(acceptance) => Some(acceptance),
            wit::Verdict::Answered(_) | wit::Verdict::Refused(_) => None,
        }
    }

    /// What a handshake is answered with.
    #[must_use]
    pub const fn answered(&self) -> Option<&Reply> {
        match &self.0 {
            wit::Verdict::Answered(reply) => Some(reply),
            wit::Verdict::Accepted(_) | wit::Verdict::Refused(_) => None,
        }
    }
}
