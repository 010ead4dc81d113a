//! A program that multiplies, alone on the machine: what the kernel counts are all threads of a user, so it takes from what
//! every other command may have.

#[expect(dead_code, reason = "the other tests use the rest of it")]
#[path = "suite/harness.rs"]
mod harness;

use std::time::{Duration, Instant};

use harness::{Machine, anything, ask, request, run_script, survivors, unique_nap};

/// A limit, the grace between SIGTERM and SIGKILL, and what a busy machine adds.
const KILLED_WITHIN: Duration = Duration::from_secs(8);

/// Goal: a program cannot multiply without end, and its children die with it.
#[tokio::test]
async fn a_fork_bomb_is_bounded() {
    for machine in Machine::both() {
        let nap = unique_nap();
        let script =
            format!("i=0; while [ $i -lt 3000 ]; do sleep {nap} & i=$((i+1)); echo $i; done");
        let answer = run_script(&machine, &script).await;
        let forks = answer.text().lines().count();
        assert!((8..1_000).contains(&forks), "{forks} forks, {}", answer.errors());
        assert_ne!(answer.code(), Some(0));
        assert_eq!(survivors(&nap), [0; 0]);

        let agent = machine.agent(anything(""));
        let bomb = format!("f() {{ f {nap} | f {nap} & }}; f {nap}; sleep {nap}");
        let mut command = request(2, &["sh", "-c", &bomb]);
        command.limits.wall_ms = Some(500);
        let start = Instant::now();
        let answer = ask(&agent, command).await;
        assert!(answer.exit.is_some(), "{answer:?}");
        assert!(start.elapsed() < KILLED_WITHIN, "{:?}", start.elapsed());
        assert_eq!(survivors(&bomb), [0; 0]);
    }
}
