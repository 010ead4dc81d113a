//! A command that its sender takes back.

use chat_exec::report::code;
use chat_exec::{Agent, Exit, Report, RequestedLimits, Requester};
use tokio::sync::mpsc;

use crate::harness::{
    Answer, Machine, NOW_MS, alice, anything, ask, order, request, survivors, unique_nap,
};

async fn cancel(agent: &Agent, requester: &Requester, id: u8) {
    agent.cancel(NOW_MS, requester, [id; 16]).await;
}

/// Goal: one that runs is ended with everything that it started, and its outcome is kept.
#[tokio::test]
async fn what_runs_is_ended_with_its_tree() {
    for machine in Machine::both() {
        let agent = machine.agent(anything(""));
        let nap = unique_nap();
        let script = format!("sleep {nap} & echo begun; sleep {nap}");
        let (sender, mut reports) = mpsc::channel(8);
        let run = agent.run(NOW_MS, request(1, &["sh", "-c", &script]), sender);
        let watch = async {
            assert_eq!(reports.recv().await, Some(Report::Started));
            assert!(matches!(reports.recv().await, Some(Report::Output { .. })));
            let mallory = Requester { identity: "M".repeat(22), ..alice() };
            cancel(&agent, &mallory, 1).await;
            assert!(reports.try_recv().is_err(), "nobody else takes it back");
            cancel(&agent, &alice(), 1).await;
            assert_eq!(reports.recv().await, Some(Report::Exit(Exit::Cancelled)));
        };
        tokio::join!(run, watch);
        assert_eq!(survivors(&nap), [0; 0]);
        let again = ask(&agent, request(1, &["sh", "-c", &script])).await;
        assert_eq!(again.exit, Some(Exit::Cancelled), "it is recorded");
        assert_eq!((Exit::Cancelled.code(), Exit::Cancelled.status()), (Some("E_CANCELLED"), 130));
    }
}

/// Goal: one that has not come yet, waits for one before it, or waits for its turn never starts; one
/// that has ended stays as it is.
#[tokio::test]
async fn what_waits_or_has_not_come_never_starts() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let refused = |answer: &Answer| answer.refusal() == Some(code::CANCELLED) && !answer.started;
    cancel(&agent, &alice(), 1).await;
    assert!(refused(&ask(&agent, request(1, &["true"])).await), "behind its cancellation");

    // Those before it keep their turn, and those behind it do not wait for it.
    assert_eq!(ask(&agent, request(2, &["true"])).await.code(), Some(0));
    cancel(&agent, &alice(), 6).await;
    let mut cancelled = request(6, &["true"]);
    cancelled.order = order(3, Some(2));
    assert!(refused(&ask(&agent, cancelled).await));
    let mut behind = request(7, &["true"]);
    behind.order = order(4, Some(3));
    assert_eq!(ask(&agent, behind).await.code(), Some(0));

    let mut waits = request(3, &["true"]);
    waits.order = order(9, Some(8));
    waits.expires_at_ms = NOW_MS + 300;
    let (sender, mut reports) = mpsc::channel(8);
    let run = agent.run(NOW_MS, waits, sender);
    let take_back = async {
        tokio::task::yield_now().await;
        cancel(&agent, &alice(), 3).await;
        reports.recv().await
    };
    let ((), report) = tokio::join!(run, take_back);
    assert!(matches!(report, Some(Report::Refused { code: code::CANCELLED, .. })), "{report:?}");

    let mut ends = request(4, &["true"]);
    ends.order = order(10, Some(9));
    assert_eq!(ask(&agent, ends.clone()).await.code(), Some(0));
    cancel(&agent, &alice(), 4).await;
    assert_eq!(ask(&agent, ends).await.code(), Some(0), "it had ended");
}

/// Goal: the time of a command that is taken back is not used up by the next one.
#[tokio::test]
async fn the_place_of_a_cancelled_command_is_free() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    for id in 1..=8 {
        let mut long = request(id, &["sleep", "300"]);
        long.limits = RequestedLimits { wall_ms: Some(300_000), output_bytes: None };
        let (sender, mut reports) = mpsc::channel(8);
        let run = agent.run(NOW_MS, long, sender);
        let watch = async {
            assert_eq!(reports.recv().await, Some(Report::Started));
            cancel(&agent, &alice(), id).await;
            assert_eq!(reports.recv().await, Some(Report::Exit(Exit::Cancelled)));
        };
        tokio::join!(run, watch);
    }
}
