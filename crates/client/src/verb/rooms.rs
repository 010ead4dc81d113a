//! Which rooms there are, and which I am in.

use chat_endpoint::Event;

use super::list::{self, Page};
use super::{print_json, print_line};
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::start::Failure;
use chat_device::client::Client;
use chat_text::show::rooms::{room, room_object};

/// Prints the rooms, in the order of their names.
pub async fn rooms(common: &Common) -> Result<ExitStatus, Failure> {
    list::print(common, Client::rooms, |task, event| {
        let Event::Rooms { rooms, more, .. } = event else { return Ok(Page::Other) };
        for info in rooms {
            if task.is_json {
                print_json(vec![room_object(info)])?;
            } else {
                print_line(&room(info))?;
            }
        }
        Ok(if *more { Page::More } else { Page::Last })
    })
    .await
}
