//! Every route, without a token, with a wrong one, and with another account's.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use reqwest::Method;
use serde_json::{Value, json};
use tidegate::http::router::{self, Who};
use tidegate_tests::client::Client;
use tidegate_tests::desk::{SlackDesk, slack_desk};
use tidegate_tests::on_both;

/// A route, a body that it takes, and what somebody of another account gets there.
struct Route {
    method: Method,
    path: String,
    body: Option<Value>,
    stranger: Stranger,
}

/// What an administrator of another account gets.
#[derive(PartialEq)]
enum Stranger {
    /// Their own things, of which there are none.
    Nothing,
    /// 404, as if it were not there.
    NotFound,
    /// 403: only the host's operator may.
    Forbidden,
    /// What belongs to everybody, or to themselves.
    Own,
}

on_both! {
    async fn nothing_is_shown_without_a_token_of_the_account(database) {
        let desk = slack_desk(database).await;
        let (ticket, _) = desk.hear_ticket("Mine").await;
        let reply = desk.reply(&ticket, "Ours").await;
        desk.message_in(&ticket, &reply, &["sent"]).await;
        let before = desk.admin.events_after(0).await.len();
        let routes = routes(&desk).await;
        let (stranger, _) = desk.other_account();
        let nobody = [
            desk.anybody(),
            desk.holder_of("tg_0000000000000000000000000000000000000000000"),
            desk.holder_of(&desk.token[..desk.token.len() - 1]),
            desk.holder_of(&format!("{}0", desk.token)),
            desk.holder_of(&desk.token.to_uppercase()),
            desk.holder_of("x"),
        ];
        // The stream never ends for those who may read it, so it is asked by itself.
        let mut asked = vec![(Method::GET, "/api/v1/events/stream")];
        asked.extend(routes.iter().map(in_table).map(|row| (row.method, row.path)));
        for row in router::routes() {
            let known = row.who == Who::Anyone || asked.contains(&(row.method.clone(), row.path));
            assert!(known, "{} {} is not asked here", row.method, row.path);
        }
        for somebody in &nobody {
            let stream = somebody.call(Method::GET, "/api/v1/events/stream", None).await;
            stream.expect_problem(401, "unauthorized");
        }
        for route in &routes {
            for somebody in &nobody {
                ask(somebody, route).await.expect_problem(401, "unauthorized");
            }
            let answer = ask(&stranger, route).await;
            match route.stranger {
                Stranger::NotFound => drop(answer.expect_problem(404, "not_found")),
                Stranger::Forbidden => drop(answer.expect_problem(403, "forbidden")),
                Stranger::Nothing => {
                    let answer = answer.expect_status(200);
                    assert_eq!(answer.json["data"], json!([]), "{}", answer.asked);
                }
                Stranger::Own => assert!(answer.status < 500, "{} {}", answer.asked, answer.text),
            }
        }
        let after = desk.admin.events_after(0).await.len();
        assert_eq!(before, after, "somebody without a right changed something");
    }

    async fn an_agent_answers_and_does_not_administer(database) {
        let desk = slack_desk(database).await;
        desk.hear_ticket("Who may?").await;
        let account = desk.account.to_string();
        let created = desk.home().run_json(&[
            "token", "create", "--account", &account, "--email", "ben@harbour.example",
            "--name", "Ben", "--role", "agent", "--json",
        ]).expect("a token for an agent");
        let agent = desk.holder_of(created["token"].as_str().expect("a token"));
        let who = agent.get("/api/v1/whoami").await;
        assert_eq!(who["user"]["role"], "agent", "{who}");
        assert_eq!(who["user"]["operator"], false, "{who}");
        agent.post("/api/v1/tickets/1/messages", json!({"body": "I may answer"})).await;
        agent.patch("/api/v1/tickets/1", json!({"priority": "low"})).await;
        for route in routes(&desk).await {
            if matches!(in_table(&route).who, Who::Administrator | Who::Operator) {
                ask(&agent, &route).await.expect_problem(403, "forbidden");
            }
        }
    }

    async fn secrets_are_never_shown(database) {
        let desk = slack_desk(database).await;
        let (ticket, _) = desk.hear_ticket("Keep it").await;
        let reply = desk.reply(&ticket, "I will").await;
        desk.message_in(&ticket, &reply, &["sent"]).await;
        let mut shown = std::fs::read_to_string(desk.home().log()).expect("the log");
        for route in routes(&desk).await {
            if route.method == Method::GET && !route.path.ends_with("/stream") {
                shown.push_str(&ask(&desk.admin, &route).await.text);
            }
        }
        let own = [desk.token.as_str(), tidegate_tests::slack::SIGNING_SECRET, tidegate_tests::slack::BOT_TOKEN];
        for secret in own {
            assert!(!shown.contains(secret), "{secret} is shown");
        }
        // Nor do they lie in the data directory as they are.
        for entry in std::fs::read_dir(desk.home().data()).expect("the data directory").flatten() {
            if entry.path().is_file() {
                let bytes = std::fs::read(entry.path()).expect("a file");
                for secret in own {
                    let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                    assert!(!found, "{secret} is in {}", entry.path().display());
                }
            }
        }
    }
}

/// The row of the host's own table that serves this route.
fn in_table(route: &Route) -> router::Route {
    let same = |pattern: &str| {
        let (pattern, path) = (pattern.split('/'), route.path.split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(word, found)| word == found || word.starts_with('{'))
    };
    let found = router::routes().into_iter();
    let mut found = found.filter(|row| row.method == route.method && same(row.path));
    found.next().unwrap_or_else(|| panic!("{} {} is not served", route.method, route.path))
}

async fn ask(client: &Client, route: &Route) -> tidegate_tests::client::Answer {
    client.call(route.method.clone(), &route.path, route.body.as_ref()).await
}

/// Every route of the interface, with things that exist.
async fn routes(desk: &SlackDesk) -> Vec<Route> {
    let intake = desk.admin.list("/api/v1/intakes").await[0]["id"].clone();
    let delivery = match desk.admin.list("/api/v1/deliveries").await.first() {
        Some(delivery) => delivery["id"].clone(),
        None => json!(1),
    };
    let contact = desk.admin.get("/api/v1/tickets/1").await["contact"]["id"].clone();
    let plugin = desk.admin.list("/api/v1/plugins").await[0].clone();
    let text = |name: &str| plugin[name].as_str().expect("a name").to_owned();
    let plugin = format!("{}/{}", text("publisher"), text("name"));
    let (connection, inbox) = (desk.connection, desk.inbox);
    let connecting = json!({"integration": "slack", "label": "X", "settings": {}, "grants": []});
    let binding = json!({"channel": "slack", "connection_id": connection, "name": "X"});
    let (get, post, patch) = (Method::GET, Method::POST, Method::PATCH);
    let route = |method: &Method, path: String, body: Value, stranger| Route {
        method: method.clone(),
        path: format!("/api/v1{path}"),
        body: (!body.is_null()).then_some(body),
        stranger,
    };
    use Stranger::{Forbidden, NotFound, Nothing, Own};
    vec![
        route(&get, "/whoami".into(), Value::Null, Own),
        route(&post, "/plugins".into(), json!({}), Forbidden),
        route(&get, "/plugins".into(), Value::Null, Own),
        route(&get, format!("/plugins/{plugin}"), Value::Null, Own),
        route(&get, "/connections".into(), Value::Null, Nothing),
        route(&post, "/connections".into(), connecting, Own),
        route(&get, format!("/connections/{connection}"), Value::Null, NotFound),
        route(&patch, format!("/connections/{connection}"), json!({"label": "Y"}), NotFound),
        route(
            &Method::PUT,
            format!("/connections/{connection}/secrets/bot_token"),
            json!({"value": "x"}),
            NotFound,
        ),
        route(
            &Method::DELETE,
            format!("/connections/{connection}/secrets/bot_token"),
            Value::Null,
            NotFound,
        ),
        route(&post, format!("/connections/{connection}/check"), Value::Null, NotFound),
        route(&post, "/inboxes".into(), binding, NotFound),
        route(&get, "/inboxes".into(), Value::Null, Nothing),
        route(&get, format!("/inboxes/{inbox}"), Value::Null, NotFound),
        route(&patch, format!("/inboxes/{inbox}"), json!({"name": "Y"}), NotFound),
        route(&get, "/statuses".into(), Value::Null, Own),
        route(&get, "/users".into(), Value::Null, Own),
        route(&get, format!("/contacts/{contact}"), Value::Null, NotFound),
        route(&get, "/tickets".into(), Value::Null, Nothing),
        route(&get, "/tickets/1".into(), Value::Null, NotFound),
        route(&patch, "/tickets/1".into(), json!({"subject": "Z"}), NotFound),
        route(&get, "/tickets/1/messages".into(), Value::Null, NotFound),
        route(&post, "/tickets/1/messages".into(), json!({"body": "Boo"}), NotFound),
        route(&get, "/intakes".into(), Value::Null, Nothing),
        route(&get, format!("/intakes/{intake}"), Value::Null, NotFound),
        route(&post, format!("/intakes/{intake}/replay"), Value::Null, NotFound),
        route(&get, "/deliveries".into(), Value::Null, Nothing),
        route(&get, format!("/deliveries/{delivery}"), Value::Null, NotFound),
        route(&post, format!("/deliveries/{delivery}/retry"), Value::Null, NotFound),
        route(&get, "/events".into(), Value::Null, Own),
        // Last, because the strangers then have a ticket of their own.
        route(&post, "/tickets".into(), json!({"kind": "task", "subject": "W"}), Own),
    ]
}
