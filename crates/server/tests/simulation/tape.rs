//! What travelled in a world: the headers of all frames and what was said in clear. Left out is what
//! a signature or a wrap changes, because a backend draws their salts itself: the signatures, the
//! wraps, the bodies (a frame that is sent again travels inside of one, signature and all), and what
//! names a body by its digest (`p`).

use std::cell::RefCell;

use chat_protocol::{
    b64::B64Vec,
    crypto::sha256,
    frame::{Binary, RawFrame, Upload},
    header::Header,
    hub::{self, ClientToHub, HubToClient},
    id::Digest,
};
use tokio_tungstenite::tungstenite::Message;

use crate::world::now_ms;

/// More messages in one millisecond than any world has to send.
const STORM: usize = 5_000;

/// The last of them, to tell what the storm is about.
const STORM_SHOWN: usize = 12;

thread_local! {
    /// The tape of this thread's world.
    static TAPE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes that a message was sent over a wire.
pub(crate) fn note(wire: &str, message: &Message) {
    let what = match message {
        Message::Text(text) => of_text(text.as_str()),
        Message::Binary(bytes) => match Binary::decode(bytes.clone()).unwrap() {
            Binary::Frame(frame) => of_frame(&frame),
            Binary::Delivery(delivery) => {
                format!(
                    "{} at {}: {}",
                    delivery.position,
                    delivery.hub_ms,
                    of_frame(&delivery.frame)
                )
            }
            Binary::Upload(Upload::Members { e, offset, bytes }) => {
                format!("members {e} {offset} {}", Digest(sha256(&bytes)))
            }
            Binary::Upload(Upload::Wraps { e, first, wraps }) => {
                format!("wraps {e} {first} {}", wraps.len())
            }
        },
        other => format!("{other:?}"),
    };
    TAPE.with_borrow_mut(|tape| {
        tape.push(format!("{} {wire} {what}", now_ms()));
        assert!(!is_storm(tape), "a storm: {:#?}", &tape[tape.len() - STORM_SHOWN..]);
    });
}

/// Whether so much has just been sent that nobody can have meant it: without a word time stands still.
fn is_storm(tape: &[String]) -> bool {
    let moment = |line: &String| line.split(' ').next().map(str::to_owned);
    let first = tape.len().checked_sub(STORM).and_then(|first| tape.get(first));
    first.is_some_and(|first| moment(first) == tape.last().and_then(moment))
}

/// The tape so far; the next world begins with an empty one.
pub(crate) fn take() -> Vec<String> {
    TAPE.take()
}

fn of_text(text: &str) -> String {
    if let Ok(HubToClient::Members { id, cid, links, more, .. }) = hub::read(text) {
        return format!("MEMBERS {id} {cid} {more} {:?}", of_links(links));
    }
    match hub::read(text) {
        Ok(ClientToHub::Remind { id, bundles, links }) => {
            format!("REMIND {id} {} {:?}", bundles.len(), of_links(links))
        }
        _ => text.to_owned(),
    }
}

fn of_links(links: Vec<B64Vec>) -> Vec<String> {
    links.into_iter().map(|link| of_frame(&RawFrame::decode(link.0.into()).unwrap())).collect()
}

fn of_frame(frame: &RawFrame) -> String {
    let mut header = Header::parse(frame.header()).unwrap();
    if let Header::Message(message) = &mut header {
        message.p = Digest::ZERO;
    }
    format!("{header:?} {}", frame.body().len())
}
