//! Providers deliver more than once, and everything at once.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

use futures_util::future::join_all;
use tidegate_tests::desk::slack_desk;
use tidegate_tests::on_both;
use tidegate_tests::slack::{CHANNEL, PERSON};

on_both! {
    async fn two_hundred_copies_make_one_message(database) {
        let desk = slack_desk(database).await;
        let event = desk.slack.message(CHANNEL, PERSON, "Only once");
        let answers = join_all((0..200).map(|_| desk.slack.deliver(&event))).await;
        for answer in answers {
            answer.expect_status(200);
        }
        let (ticket, _) = desk.ticket_and_message("Only once").await;
        desk.all_worked().await;
        assert_eq!(desk.messages(&ticket).await.len(), 1);
        assert_eq!(desk.admin.list_all("/api/v1/tickets").await.len(), 1);
        assert_eq!(desk.admin.list_all("/api/v1/intakes").await.len(), 1, "one row for one event");
        // Later copies change nothing either.
        desk.hear_event(&event).await;
        desk.all_worked().await;
        assert_eq!(desk.messages(&ticket).await.len(), 1);
    }

    async fn the_same_message_under_two_event_ids_is_one_message(database) {
        let desk = slack_desk(database).await;
        let event = desk.slack.message(CHANNEL, PERSON, "Said once");
        let mut again = event.clone();
        again.body["event_id"] = "Ev0OTHER".into();
        let (one, other) = tokio::join!(desk.slack.deliver(&event), desk.slack.deliver(&again));
        one.expect_status(200);
        other.expect_status(200);
        let (ticket, _) = desk.ticket_and_message("Said once").await;
        desk.all_worked().await;
        assert_eq!(desk.messages(&ticket).await.len(), 1);
        assert_eq!(desk.admin.list_all("/api/v1/tickets").await.len(), 1);
    }

    async fn two_first_messages_of_one_thread_make_one_ticket_in_order(database) {
        let desk = slack_desk(database).await;
        for round in 0..10 {
            let first = desk.slack.message(CHANNEL, PERSON, &format!("First of {round}"));
            let second = desk.slack.thread_reply(CHANNEL, "U0BEN", &format!("Second of {round}"), first.ts());
            // Sent in order, arriving together.
            let (one, other) = tokio::join!(desk.slack.deliver(&first), desk.slack.deliver(&second));
            one.expect_status(200);
            other.expect_status(200);
            let (ticket, _) = desk.ticket_and_message(&format!("First of {round}")).await;
            let (same, _) = desk.ticket_and_message(&format!("Second of {round}")).await;
            assert_eq!(ticket["number"], same["number"], "round {round}: two tickets of one thread");
        }
        assert_eq!(desk.admin.list_all("/api/v1/tickets").await.len(), 10);
    }

    async fn a_lane_is_worked_in_the_order_of_arrival(database) {
        let desk = slack_desk(database).await;
        let root = desk.hear("Line 0").await;
        for number in 1..40 {
            let line = desk.slack.thread_reply(CHANNEL, PERSON, &format!("Line {number}"), root.ts());
            desk.hear_event(&line).await;
        }
        let (ticket, _) = desk.ticket_and_message("Line 39").await;
        let texts: Vec<_> = desk.messages(&ticket).await.into_iter()
            .map(|message| message["body"]["text"].clone()).collect();
        let expected: Vec<_> = (0..40).map(|number| format!("Line {number}")).collect();
        assert_eq!(texts, expected);
    }
}
