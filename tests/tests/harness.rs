//! The harness itself: what others rely on is tried without a server.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_tests::client::{Client, http};
use tidegate_tests::component::{that_traps_in, with_custom_section, with_publisher, with_version};
use tidegate_tests::slack::{BOT_TOKEN, CHANNEL, Fault, Gate, PERSON, Slack};
use tidegate_tests::{eventually, places, postgres};

async fn slack() -> (Slack, Client) {
    let slack = Slack::start().await.expect("a Slack");
    let bot = Client::new(&format!("http://{}", slack.address()), BOT_TOKEN);
    (slack, bot)
}

fn posted(text: &str) -> Value {
    json!({"channel": CHANNEL, "text": text})
}

#[tokio::test]
async fn slack_keeps_what_was_posted_and_checks_the_token() {
    let (slack, bot) = slack().await;
    let answer = bot.post("/api/chat.postMessage", posted("Hello")).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let ts = answer["ts"].clone();
    bot.post("/api/reactions.add", json!({"channel": CHANNEL, "timestamp": ts, "name": "eyes"}))
        .await;
    let form = bot.request(Method::POST, "/api/chat.update");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let ts = ts.as_str().expect("an id");
    form.body(format!("channel={CHANNEL}&ts={ts}&text=Good+day")).send().await.expect("an answer");
    let shown = slack.transcript(CHANNEL)["messages"][0].clone();
    assert_eq!(shown["text"], "Good day", "{shown}");
    assert_eq!(shown["reactions"], json!(["eyes"]), "{shown}");
    assert_eq!(slack.post_counts(), [("Hello".to_owned(), 1)].into());

    for (client, error) in [
        (Client::anonymous(bot.base()), "not_authed"),
        (Client::new(bot.base(), "xoxb-wrong"), "invalid_auth"),
    ] {
        let answer = client.post("/api/chat.postMessage", posted("No")).await;
        assert_eq!(answer, json!({"ok": false, "error": error}));
    }
    assert_eq!(slack.posts().len(), 1);
    let user = bot.get(&format!("/api/users.info?user={PERSON}")).await;
    assert_eq!(user["user"]["real_name"], "Ana Lima", "{user}");
}

#[tokio::test]
async fn slack_fails_as_it_is_told() {
    let (slack, bot) = slack().await;
    let method = "chat.postMessage";
    let attempt = async |text: &str| {
        bot.attempt(Method::POST, "/api/chat.postMessage", Some(&posted(text))).await
    };
    slack.fail_next(method, 1, &Fault::RateLimited(7));
    slack.fail_next(method, 1, &Fault::Refused("is_archived"));
    slack.fail_next(method, 1, &Fault::Status(500));
    slack.fail_next(method, 1, &Fault::CloseBeforeReading);
    slack.fail_next(method, 1, &Fault::CloseAfterReading);
    let limited = attempt("1").await.expect("an answer").expect_status(429);
    assert_eq!(limited.header("retry-after"), "7");
    let refused = attempt("2").await.expect("an answer").expect_status(200);
    assert_eq!(refused.json["error"], "is_archived");
    attempt("3").await.expect("an answer").expect_status(500);
    attempt("4").await.expect_err("no answer");
    attempt("5").await.expect_err("no answer");
    attempt("6").await.expect("an answer").expect_status(200);
    let counts = slack.post_counts();
    assert_eq!(counts, [("5".to_owned(), 1), ("6".to_owned(), 1)].into(), "done or not done");

    let gate = Gate::closed();
    slack.fail_next(method, 1, &Fault::Until(gate.clone()));
    let waiting = tokio::spawn({
        let bot = bot.clone();
        async move { bot.post("/api/chat.postMessage", posted("7")).await }
    });
    eventually("the post to arrive", || async { (slack.posts().len() == 3).then_some(()) }).await;
    assert!(!waiting.is_finished());
    gate.open();
    assert_eq!(waiting.await.expect("an answer")["ok"], true);
}

#[tokio::test]
async fn files_are_for_the_bearer() {
    let (slack, bot) = slack().await;
    slack.add_file("F1", "a.txt", "text/plain", b"contents");
    let event = slack.file_share(CHANNEL, PERSON, "Look", "F1");
    let url = event.body["event"]["files"][0]["url_private"].as_str().expect("a URL").to_owned();
    let path = url.strip_prefix(bot.base()).expect("it is here").to_owned();
    assert_eq!(bot.call(Method::GET, &path, None).await.text, "contents");
    let stranger = http().get(&url).send().await.expect("an answer");
    assert_eq!(stranger.headers()["content-type"], "text/html");
}

#[test]
fn a_database_is_fresh_and_empty() {
    let (one, other) = (postgres::fresh_database(), postgres::fresh_database());
    let (one, other) = (one.expect("a database"), other.expect("a database"));
    assert_ne!(one, other);
    assert!(one.starts_with("postgres://"), "{one}");
}

#[test]
fn releases_are_made_from_a_release() {
    let component = std::fs::read(places::component(places::HOSTILE).expect("built"));
    let component = component.expect("readable");
    let changed =
        |other: &[u8]| component.iter().zip(other).filter(|(one, two)| one != two).count();
    let next = with_version(&component, "0.1.0", "0.1.1");
    assert_eq!((changed(&next), next.len()), (1, component.len()));
    let thief = with_publisher(&component, "tidegate-tests", "tidegate-thief");
    assert_eq!((changed(&thief), thief.len()), (4, component.len()));
    let broken = that_traps_in(&component, "integration@0.1.0#verify");
    assert!(changed(&broken) > 0 && broken.len() == component.len());
    assert!(with_custom_section(&component, "x").starts_with(&component));
}
