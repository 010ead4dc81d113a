//! Policy, injection, expiry and rate, through the whole agent.

use chat_exec::{Agent, AgentError, Exit, Policy, Requester};

use crate::harness::{KEY, Machine, NOW_MS, alice, anything, ask, ask_at, order, request};

/// Goal: whatever the words contain, the program gets exactly those words. Method: every word of a
/// corpus of shell and option syntax, printed back by `printf`.
#[tokio::test]
async fn words_arrive_exactly_as_given() {
    const HEADS: [&str; 8] = ["", "a", "-", "--", "./", "'", "\"", "\\"];
    const TAILS: [&str; 40] = [
        "; touch pwned",
        "| touch pwned",
        "&& touch pwned",
        "|| touch pwned",
        "& touch pwned",
        "$(touch pwned)",
        "`touch pwned`",
        "${IFS}touch",
        "\ntouch pwned\n",
        "\r\n",
        "*",
        "?",
        "[a-z]",
        "{a,b}",
        "~",
        "~root",
        "$HOME",
        "$$",
        "$(id)",
        "> pwned",
        "< /etc/passwd",
        "<<EOF",
        "#",
        "!",
        "%s%n",
        "\\n",
        "\t",
        " ",
        "  two  spaces ",
        "-rf",
        "--help",
        "--version",
        "LD_PRELOAD=/tmp/x.so",
        "PATH=/tmp",
        "../../etc/passwd",
        "\u{1b}[2J\u{7}",
        "é漢字🦀",
        "\u{202e}txt",
        "\u{feff}",
        "",
    ];
    let corpus: Vec<String> = HEADS
        .iter()
        .flat_map(|head| TAILS.iter().map(move |tail| format!("{head}{tail}")))
        .collect();
    assert!(corpus.len() >= 300, "{}", corpus.len());
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    for (id, words) in (0..).zip(corpus.chunks(100)) {
        let mut argv = vec!["printf", "[%s]\n"];
        argv.extend(words.iter().map(String::as_str));
        let answer = ask(&agent, request(id, &argv)).await;
        let expected = format!("[{}]\n", words.join("]\n["));
        assert_eq!(answer.text(), expected);
    }
    assert_eq!(std::fs::read_dir(machine.work_dir()).expect("read").count(), 0, "nothing was made");
}

/// Goal: a program in the work directory never takes the place of a system one.
#[tokio::test]
async fn the_search_path_leads_only_to_system_programs() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let plant =
        "for n in true evil; do printf '#!/bin/sh\\necho planted\\n' > $n; chmod 755 $n; done";
    assert_eq!(ask(&agent, request(1, &["sh", "-c", plant])).await.code(), Some(0));
    assert_eq!(ask(&agent, request(2, &["true"])).await.text(), "");
    assert_eq!(ask(&agent, request(3, &["evil"])).await.exit, Some(Exit::NotFound));
}

/// Goal: without a policy file everybody gets the harmless list; the first try works.
#[tokio::test]
async fn the_harmless_list_works_for_strangers() {
    let machine = Machine::new();
    let agent = machine.agent(Policy::builtin());
    let stranger = Requester { name: "eve".to_owned(), identity: "B".repeat(22), pinned: false };
    let run = |id, argv: &[&str]| {
        let mut command = request(id, argv);
        command.requester = stranger.clone();
        ask(&agent, command)
    };
    assert_eq!(run(1, &["uname", "-s"]).await.text(), "Linux\n");
    assert_eq!(run(2, &["echo", "$(id)", ";"]).await.text(), "$(id) ;\n");
    assert_eq!(run(3, &["false"]).await.code(), Some(1));
    assert_eq!(run(4, &["ls", "-la"]).await.code(), Some(0));
    let table: [&[&str]; 6] = [
        &["sh"],
        &["ls", "/"],
        &["date", "-s", "1"],
        &["cat", "/etc/passwd"],
        &["/bin/uname"],
        &[],
    ];
    for (id, argv) in (10..).zip(table) {
        let answer = run(id, argv).await;
        assert_eq!(answer.refusal(), Some("E_POLICY"), "{argv:?}");
        assert!(!answer.started);
    }
    for (id, program) in (30..).zip(["uptime", "date", "hostname", "whoami", "df", "free"]) {
        let answer = run(id, &[program]).await;
        let exit = answer.exit.clone();
        assert!(matches!(exit, Some(Exit::Code(0) | Exit::NotFound)), "{program}: {answer:?}");
    }
}

/// Goal: a refusal is final for its id, also when the policy changes and the agent restarts.
#[tokio::test]
async fn a_refused_command_stays_refused() {
    let machine = Machine::new();
    let refused = ask(&machine.agent(Policy::deny_all()), request(1, &["true"])).await;
    assert_eq!(refused.refusal(), Some("E_POLICY"));
    let agent = machine.agent(anything(""));
    assert_eq!(ask(&agent, request(1, &["true"])).await, refused);
    assert_eq!(ask(&agent, request(2, &["true"])).await.code(), Some(0));
}

/// Goal: an expired command never starts.
#[tokio::test]
async fn an_expired_command_is_refused() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let expires_at_ms = request(1, &["true"]).expires_at_ms;
    let late = ask_at(&agent, expires_at_ms, request(1, &["true"])).await;
    assert_eq!(late.refusal(), Some("E_EXPIRED"));
    let again = ask_at(&agent, NOW_MS, request(1, &["true"])).await;
    assert_eq!(again.refusal(), Some("E_EXPIRED"), "and stays refused when the clock goes back");
}

/// Goal: the rate of a rule is counted, per requester, over a sliding window. Time is an argument.
#[tokio::test]
async fn the_rate_of_a_rule_holds() {
    let machine = Machine::new();
    let agent = machine.agent(anything("rate = \"2/min\""));
    let run = |id, after_ms: u64| {
        let mut command = request(id, &["true"]);
        command.expires_at_ms += after_ms;
        let agent = &agent;
        async move { ask_at(agent, NOW_MS + after_ms, command).await }
    };
    assert_eq!(run(1, 0).await.code(), Some(0));
    assert_eq!(run(2, 30_000).await.code(), Some(0));
    assert_eq!(run(3, 50_000).await.refusal(), Some("E_RATE"));
    assert_eq!(run(4, 70_000).await.code(), Some(0), "the first has left the window");
    assert_eq!(run(3, 200_000).await.refusal(), Some("E_RATE"), "a refusal is final");
}

/// Goal: one requester's flood neither starves others nor grows without bound.
#[tokio::test]
async fn a_flood_of_one_requester_leaves_room_for_others() {
    let machine = Machine::new();
    let text = format!(
        "[[rule]]\nwho = [{{ name = \"alice\", key = \"{KEY}\" }}, {{ name = \"bob\", key = \"{}\" }}]\n\
         argv = [[\"sleep\", \"*\"], [\"true\"]]\n",
        "B".repeat(22)
    );
    let agent = machine.agent(Policy::parse(&text, "policy.toml").expect("valid"));
    let flood = async {
        let sleeps = (0..=chat_exec::limits::ADMITTED_PER_REQUESTER_MAX).map(|number| {
            let mut command = request(0, &["sleep", "300"]);
            command.id = u128::try_from(number).expect("small").to_be_bytes();
            let number = u64::try_from(number).expect("small");
            // Each by another device, so that none waits for another one.
            command.order = order(0, None);
            command.order.signing_key = format!("{number:022}");
            ask(&agent, command)
        });
        let mut sleeps: Vec<_> = sleeps.map(Box::pin).collect();
        // All have arrived when each was polled once; the last is one too many.
        let last = sleeps.pop().expect("one");
        std::future::poll_fn(|context| {
            for sleep in &mut sleeps {
                assert!(sleep.as_mut().poll(context).is_pending());
            }
            std::task::Poll::Ready(())
        })
        .await;
        let refused = last.await;
        assert_eq!(refused.refusal(), Some("E_BUSY"));
        let mut command = request(1, &["true"]);
        command.requester =
            Requester { name: "bob".to_owned(), identity: "B".repeat(22), ..alice() };
        command.order.signing_key = "T".repeat(22);
        let bob = ask(&agent, command);
        tokio::pin!(bob);
        std::future::poll_fn(|context| {
            for sleep in &mut sleeps {
                assert!(sleep.as_mut().poll(context).is_pending());
            }
            bob.as_mut().poll(context)
        })
        .await
    };
    assert_eq!(flood.await.code(), Some(0));
}

/// Goal: an agent that could not work says so at once.
#[test]
fn an_agent_checks_its_surroundings() {
    let machine = Machine::new();
    let mut config = machine.config(Policy::builtin());
    config.helper = machine.folder.path().join("missing");
    assert!(matches!(Agent::open(config), Err(AgentError::Helper { .. })));
    let mut config = machine.config(Policy::builtin());
    config.work_dir = "/proc/none".into();
    assert!(matches!(Agent::open(config), Err(AgentError::WorkDir { .. })));
    let _first = machine.agent(Policy::builtin());
    let second = Agent::open(machine.config(Policy::builtin()));
    assert!(second.err().expect("refused").to_string().contains("in use by another agent"));
    if nix::unistd::geteuid().is_root() {
        let mut config = Machine::new().config(Policy::builtin());
        config.work_dir = "/etc".into();
        let error = Agent::open(config).err().expect("refused").to_string();
        assert!(error.contains("chown 65534 /etc"), "{error}");
    }
}
