//! Who I am to this server.

use chat_text::item::{Answer, Item};
use chat_text::show::items::Printer;
use chat_text::show::{Detail, Lines};

use super::{Task, print_line};
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::start::Failure;

/// Prints my name, device, key and server.
pub async fn whoami(common: &Common) -> Result<ExitStatus, Failure> {
    let task = Box::pin(Task::start(common)).await?;
    if let Some(status) = task.client.status().await {
        let mut printer = Printer::new(Lines::new(task.user.clone(), Detail::Full), common.json);
        for line in printer.print(&[Item::from(Answer::WhoAmI(Box::new(status)))]) {
            print_line(&line)?;
        }
    }
    task.end().await;
    Ok(ExitStatus::Ok)
}
