//! The helper alone, for the tests of this crate. The products call the same function from their
//! own `main`.

use std::process::ExitCode;

use chat_exec::helper;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == helper::SUBCOMMAND) {
        return helper::main(args);
    }
    ExitCode::from(2)
}
