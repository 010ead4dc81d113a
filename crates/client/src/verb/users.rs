//! Who has an account, and who is here.

use chat_endpoint::Event;

use super::list::{self, Page};
use super::{print_json, print_line};
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::start::Failure;
use chat_device::client::Client;
use chat_text::show::{self, json};

/// Prints everybody, in the order of their names.
pub async fn users(common: &Common) -> Result<ExitStatus, Failure> {
    list::print(common, Client::who, |task, event| {
        let Event::People { people, more } = event else { return Ok(Page::Other) };
        for person in people {
            if task.is_json {
                print_json(vec![json::person(person)])?;
            } else {
                print_line(&show::person(person))?;
            }
        }
        Ok(if *more { Page::More } else { Page::Last })
    })
    .await
}
