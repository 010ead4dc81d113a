//! Ends, limits and the killing of whole trees.

use std::time::{Duration, Instant};

use chat_exec::{Exit, RequestedLimits};
use tokio::sync::mpsc;

use crate::harness::{
    Machine, anything, ask, request, run_script, survivors, unique_nap, wait_for_death,
};

/// A limit, the grace between SIGTERM and SIGKILL, and what a busy machine adds.
const KILLED_WITHIN: Duration = Duration::from_secs(8);

/// Goal: each way to end is told apart.
#[tokio::test]
async fn every_end_is_reported_as_it_is() {
    for machine in Machine::both() {
        let agent = machine.agent(anything(""));
        let table: [(&[&str], Exit); 7] = [
            (&["true"], Exit::Code(0)),
            (&["sh", "-c", "exit 7"], Exit::Code(7)),
            (&["sh", "-c", "kill -KILL $$"], Exit::Signal(9)),
            (&["sh", "-c", "kill -TERM $$"], Exit::Signal(15)),
            (&["sh", "-c", "kill -SEGV $$"], Exit::Signal(11)),
            (&["no-such-program"], Exit::NotFound),
            (&["/no/such/program"], Exit::NotFound),
        ];
        for (id, (argv, exit)) in (0..).zip(table) {
            let answer = ask(&agent, request(id, argv)).await;
            assert_eq!(answer.exit, Some(exit), "{argv:?} {answer:?}");
        }
        let answer = ask(&agent, request(100, &["/etc/passwd"])).await;
        assert!(matches!(answer.exit, Some(Exit::Failed(why)) if why.contains("ermission denied")));
    }
}

/// Goal: both streams arrive whole, apart, and before the end.
#[tokio::test]
async fn output_arrives_on_its_stream() {
    let script = "echo out; echo err >&2; printf '\\377\\000'; exit 3";
    let answer = run_script(&Machine::new(), script).await;
    assert_eq!(answer.stdout, b"out\n\xff\0");
    assert_eq!(answer.stderr, b"err\n");
    assert_eq!(answer.code(), Some(3));
}

/// Goal: at the time limit nothing of the tree is left, however it hides.
#[tokio::test]
async fn the_time_limit_kills_the_whole_tree() {
    for machine in Machine::both() {
        let agent = machine.agent(anything(""));
        for (id, hiding) in (0..).zip([
            "setsid sleep NAP & sleep NAP",
            "trap '' TERM; sleep NAP & sleep NAP; sleep NAP",
            "(setsid sh -c 'trap \"\" TERM HUP; sleep NAP & sleep NAP; sleep NAP' &) ; sleep NAP",
            "exec >&- 2>&-; sleep NAP",
            "echo $$; kill -STOP $$",
        ]) {
            let nap = unique_nap();
            let mut command = request(id, &["sh", "-c", &hiding.replace("NAP", &nap)]);
            command.limits = RequestedLimits { wall_ms: Some(300), output_bytes: None };
            let start = Instant::now();
            let answer = ask(&agent, command).await;
            assert_eq!(answer.exit, Some(Exit::TimedOut), "{hiding} {answer:?}");
            let elapsed = start.elapsed();
            assert!(elapsed < KILLED_WITHIN, "{hiding} took {elapsed:?}");
            assert_eq!(survivors(&nap), [0; 0], "{hiding}");
        }
    }
}

/// Goal: the limit is a SIGTERM first: a program that listens can put its files in order.
#[tokio::test]
async fn the_program_is_asked_before_it_is_killed() {
    for machine in Machine::both() {
        let agent = machine.agent(anything(""));
        let script = "trap 'echo tidy; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        let mut command = request(1, &["sh", "-c", script]);
        command.limits.wall_ms = Some(1_000);
        let answer = ask(&agent, command).await;
        assert_eq!(answer.exit, Some(Exit::TimedOut));
        assert_eq!(answer.text(), "ready\ntidy\n");
    }
}

/// Goal: what a program leaves in the background ends with it.
#[tokio::test]
async fn the_end_of_the_program_is_the_end_of_the_tree() {
    for machine in Machine::both() {
        let nap = unique_nap();
        let script = format!(
            "setsid sleep {nap} & (setsid sh -c 'trap \"\" TERM; sleep {nap}; :' &); echo done"
        );
        let start = Instant::now();
        let answer = run_script(&machine, &script).await;
        assert_eq!((answer.code(), answer.text().as_str()), (Some(0), "done\n"));
        assert!(start.elapsed() < KILLED_WITHIN);
        assert_eq!(survivors(&nap), [0; 0]);
    }
}

/// Goal: runaway output is cut exactly at the limit and its program killed.
#[tokio::test]
async fn runaway_output_is_cut_at_the_limit() {
    for machine in Machine::both() {
        let agent = machine.agent(anything("output_limit_bytes = 100000"));
        for (id, argv) in (0..).zip([vec!["yes"], vec!["cat", "/dev/zero"]]) {
            let answer = ask(&agent, request(id, &argv)).await;
            assert_eq!((answer.exit, answer.stdout.len()), (Some(Exit::OutputLimit), 100_000));
        }
        let exact = ask(&agent, request(10, &["head", "-c", "100000", "/dev/zero"])).await;
        assert_eq!(
            (exact.code(), exact.stdout.len()),
            (Some(0), 100_000),
            "the limit itself is fine"
        );
        let over = ask(&agent, request(11, &["head", "-c", "100001", "/dev/zero"])).await;
        assert_eq!((over.exit, over.stdout.len()), (Some(Exit::OutputLimit), 100_000));
        let mut less = request(12, &["yes"]);
        less.limits.output_bytes = Some(10);
        assert_eq!(ask(&agent, less).await.stdout, b"y\ny\ny\ny\ny\n");
        let mut more = request(13, &["yes"]);
        more.limits.output_bytes = Some(u64::MAX);
        assert_eq!(ask(&agent, more).await.stdout.len(), 100_000, "the policy's limit holds");
    }
}

/// Goal: memory, file size, open files and core dumps are bounded.
#[tokio::test]
async fn resources_are_bounded() {
    let machine = Machine::new();
    let answer =
        run_script(&machine, "ulimit -Hv; ulimit -Hf; ulimit -Hn; ulimit -Hc; ulimit -Ht").await;
    // Kibibytes, 512-byte blocks, descriptors, blocks, seconds.
    assert_eq!(answer.text(), "1048576\n131072\n256\n0\n61\n");
}

/// Goal: as much CPU time as the time limit gives, unless the rule says less; and its end is called
/// by its name, also of a program that will not hear of it. (The build before gave half of the time
/// limit and said "signal 9".)
#[tokio::test]
async fn cpu_time_is_bounded_by_its_own_limit_and_said_to_be() {
    for machine in Machine::both() {
        let agent = machine.agent(anything("time_limit_s = 10"));
        let limit = ask(&agent, request(1, &["sh", "-c", "ulimit -St"])).await;
        assert_eq!(limit.text(), "10\n");
        let mut less = request(2, &["sh", "-c", "ulimit -St"]);
        less.limits.wall_ms = Some(3_500);
        assert_eq!(ask(&agent, less).await.text(), "4\n");
    }
    let machine = Machine::new();
    let agent = machine.agent(anything("time_limit_s = 60\ncpu_limit_s = 1"));
    for (id, script) in [(3, "while :; do :; done"), (4, "trap '' XCPU; while :; do :; done")] {
        let busy = ask(&agent, request(id, &["sh", "-c", script])).await;
        assert_eq!(busy.exit, Some(Exit::CpuTime), "{script}");
        assert!(Exit::CpuTime.reason().contains("CPU time"));
        let again = ask(&agent, request(id, &["sh", "-c", script])).await;
        assert_eq!(again.exit, Some(Exit::CpuTime), "it is recorded so");
    }
    let killed = ask(&agent, request(5, &["sh", "-c", "kill -9 $$"])).await;
    assert_eq!(killed.exit, Some(Exit::Signal(9)), "another signal stays what it is");
}

/// Goal: a caller that takes no output holds a program back, and never beyond its time.
#[tokio::test]
async fn a_caller_that_does_not_listen_keeps_nothing_alive() {
    let machine = Machine::new();
    let agent = machine.agent(anything("output_limit_bytes = 1000000"));
    let nap = unique_nap();
    let mut command = request(1, &["sh", "-c", &format!("yes {nap}")]);
    command.limits.wall_ms = Some(500);
    let (sender, mut reports) = mpsc::channel(1);
    let run = agent.run(crate::harness::NOW_MS, command, sender);
    let watch = async {
        assert_eq!(reports.recv().await, Some(chat_exec::Report::Started));
        let word = nap.clone();
        let dead = move || {
            while survivors(&word).is_empty() {
                std::thread::yield_now();
            }
            wait_for_death(&word);
        };
        tokio::task::spawn_blocking(dead).await.expect("dead");
        let mut last = None;
        while let Some(report) = reports.recv().await {
            last = Some(report);
        }
        assert_eq!(last, Some(chat_exec::Report::Exit(Exit::TimedOut)));
    };
    tokio::join!(run, watch);
}

/// Goal: a caller that gives up leaves nothing running.
#[tokio::test]
async fn a_dropped_run_kills_its_tree() {
    for machine in Machine::both() {
        let agent = machine.agent(anything(""));
        let nap = unique_nap();
        let script = format!("setsid sleep {nap} & echo ready; sleep {nap}");
        let (sender, mut reports) = mpsc::channel(4);
        {
            let run = agent.run(crate::harness::NOW_MS, request(1, &["sh", "-c", &script]), sender);
            tokio::pin!(run);
            loop {
                tokio::select! {
                    () = &mut run => panic!("it ended by itself"),
                    report = reports.recv() => {
                        if matches!(report, Some(chat_exec::Report::Output { .. })) { break }
                    }
                }
            }
        }
        wait_for_death(&nap);
        let again = ask(&agent, request(1, &["sh", "-c", &script])).await;
        assert_eq!(again.refusal(), Some("E_INTERRUPTED"));
    }
}

/// Goal: nothing piles up. Method: many commands in a row, then look for zombies of this process.
#[tokio::test]
async fn many_commands_leave_nothing_behind() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let start = Instant::now();
    let count = 100;
    for id in 0..count {
        let answer = ask(&agent, request(id, &["echo", "x"])).await;
        assert_eq!((answer.code(), answer.text().as_str()), (Some(0), "x\n"));
    }
    println!("{:?} per command", start.elapsed() / u32::from(count));
    let nap = machine.work_dir().display().to_string();
    assert_eq!(survivors(&nap), [0; 0]);
}
