//! The command line.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use std::process::{Command, Output};
use tidegate_tests::desk::{Database, Desk, Home, slack_desk};
use tidegate_tests::{on_both, places};

on_both! {
    async fn tokens_are_made_listed_and_revoked(database) {
        let desk = Desk::start(database).await;
        let account = desk.account.to_string();
        let made = desk.home().run_json(&[
            "token", "create", "--account", &account, "--email", "ben@harbour.example",
            "--name", "Ben", "--role", "agent", "--label", "laptop", "--json",
        ]).expect("a token");
        let token = made["token"].as_str().expect("a token");
        assert!(token.starts_with("tg_"), "{token}");
        let ben = desk.holder_of(token);
        let who = ben.get("/api/v1/whoami").await;
        assert_eq!(who["user"]["email"], "ben@harbour.example", "{who}");
        assert_eq!(who["token"]["label"], "laptop", "{who}");

        let listed = said(&desk.home().run(&["token", "list", "--account", &account]).expect("a list"));
        assert!(listed.contains("laptop") && !listed.contains(token), "{listed}");
        let id = who["token"]["id"].to_string();
        let revoked = desk.home().run(&["token", "revoke", &id]).expect("a command");
        assert!(revoked.status.success(), "{}", said(&revoked));
        ben.call(reqwest::Method::GET, "/api/v1/whoami", None).await.expect_problem(401, "unauthorized");
    }

    async fn a_server_drains_and_comes_back(database) {
        let mut desk = slack_desk(database).await;
        desk.hear_ticket("Before").await;
        let ended = desk.desk.stop().await;
        assert_eq!(ended.code(), Some(0), "SIGTERM ends it in peace");
        let migrated = desk.home().run(&["migrate"]).expect("a command");
        assert!(migrated.status.success(), "{}", said(&migrated));
        desk.start_again().await;
        desk.ticket_and_message("Before").await;
        desk.hear_ticket("After").await;
        let doctor = desk.home().run(&["doctor"]).expect("a command");
        assert!(doctor.status.success(), "{}", said(&doctor));
    }

    async fn an_intake_is_replayed_from_the_command_line(database) {
        let desk = slack_desk(database).await;
        desk.hear_ticket("Again").await;
        desk.all_worked().await;
        let id = desk.admin.list("/api/v1/intakes").await[0]["id"].to_string();
        let replayed = desk.home().run(&["replay", &id]).expect("a command");
        assert!(replayed.status.success(), "{}", said(&replayed));
        let none = desk.home().run(&["replay", "99999"]).expect("a command");
        assert!(!none.status.success(), "{}", said(&none));
        assert!(!said(&none).contains("panicked"), "{}", said(&none));
    }
}

#[test]
fn help_helps() {
    let home = Home::new(Database::Sqlite).expect("a home");
    for command in [
        &[][..],
        &["serve"],
        &["migrate"],
        &["account"],
        &["account", "create"],
        &["token"],
        &["token", "create"],
        &["token", "list"],
        &["token", "revoke"],
        &["plugin"],
        &["plugin", "inspect"],
        &["replay"],
        &["doctor"],
        &["api"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let output = home.run(&arguments).expect("help");
        assert!(output.status.success(), "{command:?}: {}", said(&output));
        assert!(output.stdout.len() > 80, "{command:?}: {}", said(&output));
    }
    let unknown = home.run(&["sevre"]).expect("a command");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains("serve"), "it tells what was meant: {}", said(&unknown));
}

#[test]
fn a_component_is_inspected_without_a_server() {
    let home = Home::new(Database::Sqlite).expect("a home");
    let slack = places::component(places::SLACK).expect("built").display().to_string();
    let seen = home.run_json(&["plugin", "inspect", &slack, "--json"]).expect("JSON").to_string();
    assert!(seen.contains("slack"), "{seen}");
    let shown = home.run(&["plugin", "inspect", &slack]).expect("a command");
    assert!(shown.status.success(), "{}", said(&shown));
    let text = home.folder().join("text.wasm");
    std::fs::write(&text, "no component").expect("a file");
    for file in [text.display().to_string(), "/no/such/file".to_owned()] {
        let refused = home.run(&["plugin", "inspect", &file]).expect("a command");
        assert!(
            !refused.status.success() && !said(&refused).contains("panicked"),
            "{}",
            said(&refused)
        );
    }
}

#[test]
fn every_mistake_in_the_configuration_is_told_at_once() {
    let home = Home::new(Database::Sqlite).expect("a home");
    home.configure(
        "listen = 7\nno_such_key = 1\nlease_ms = \"long\"\n[intake]\nmax_backlog = -1\n",
    )
    .expect("a file");
    let output = home.run(&["serve"]).expect("a command");
    assert!(!output.status.success());
    let said = said(&output);
    for key in ["listen", "no_such_key", "lease_ms", "intake.max_backlog"] {
        assert!(said.contains(key), "{key} is not in:\n{said}");
    }
    home.configure("not toml at all = = 1").expect("a file");
    assert!(!home.run(&["serve"]).expect("a command").status.success());
}

#[test]
fn a_taken_port_gets_one_sentence() {
    let home = Home::new(Database::Sqlite).expect("a home");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let output = home.run(&["serve", "--listen", &address]).expect("a command");
    assert!(!output.status.success());
    let said = said(&output);
    assert!(said.contains(&address) && !said.contains("panicked"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_goes_over_the_file_and_flags_over_both() {
    let home = Home::new(Database::Sqlite).expect("a home");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("its address").to_string();
    home.configure(&format!("listen = \"{taken}\"\n")).expect("a file");
    let mut command = home.command().expect("the binary");
    command.env("TIDEGATE_LISTEN", "127.0.0.1:0").arg("serve");
    let server = tidegate_tests::desk::Server::start(command, &home.log()).await.expect("a server");
    assert_eq!(server.stop().await.code(), Some(0));
    let mut command = home.command().expect("the binary");
    command.env("TIDEGATE_LISTEN", &taken).args(["serve", "--listen", "127.0.0.1:0"]);
    let server = tidegate_tests::desk::Server::start(command, &home.log()).await.expect("a server");
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_interface_is_called_from_the_command_line() {
    let desk = slack_desk(Database::Sqlite).await;
    desk.hear_ticket("By hand").await;
    let api = |arguments: &[&str], token: &str| -> Output {
        let mut command = Command::new(places::binary().expect("built"));
        command
            .arg("api")
            .args(arguments)
            .env("TIDEGATE_URL", desk.url())
            .env("TIDEGATE_TOKEN", token);
        command.current_dir(desk.home().folder()).output().expect("a command")
    };
    let shown = api(&["/tickets/1"], &desk.token);
    assert!(shown.status.success(), "{}", said(&shown));
    let ticket: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(ticket["number"], 1, "{ticket}");
    let reply =
        api(&["POST", "/tickets/1/messages", "--data", "{\"body\":\"Typed\"}"], &desk.token);
    assert!(reply.status.success(), "{}", said(&reply));
    std::fs::write(desk.home().folder().join("reply.json"), "{\"body\":\"Filed\"}")
        .expect("a file");
    let filed = api(&["POST", "/tickets/1/messages", "--data", "@reply.json"], &desk.token);
    assert!(filed.status.success(), "{}", said(&filed));
    let missing = api(&["/tickets/99"], &desk.token);
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    assert!(said(&missing).contains("404"), "{}", said(&missing));
    let nobody = api(&["/tickets/1"], "tg_wrong");
    assert_eq!(nobody.status.code(), Some(1), "{}", said(&nobody));
}

/// All that a command printed.
fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
