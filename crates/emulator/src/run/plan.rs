//! What a run is to be, from its settings alone: the names of the clients, the rooms each is in, and
//! when each sends.

use std::time::Duration;

use chat_protocol::name::{RoomName, UserName};

use super::client::OwnRoom;
use super::pace::Pace;
use crate::error::EmulatorError;
use crate::options::{Emulation, Extent};
use crate::script::Random;

/// `emu-001` and so on.
pub(super) fn names(count: u32) -> Result<Vec<UserName>, EmulatorError> {
    let name = |number| UserName::new(&format!("emu-{number:03}"));
    (1..=count)
        .map(name)
        .collect::<Result<_, _>>()
        .map_err(|error| EmulatorError::Wrong(format!("too many clients: {error}")))
}

/// The streams of random numbers from here on choose rooms; those before it choose lines.
pub(super) const ROOM_STREAMS: u64 = 1 << 32;

pub(super) fn stream(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX - ROOM_STREAMS)
}

/// The room of all clients: one of their own, so that nobody else has to read their texts, or the lobby
/// where that is asked for.
pub(super) fn first_room(emulation: &Emulation) -> Result<RoomName, EmulatorError> {
    if emulation.in_lobby { Ok(RoomName::lobby()) } else { room(0) }
}

fn room(number: u32) -> Result<RoomName, EmulatorError> {
    RoomName::new(&format!("emu-room-{number:03}"))
        .map_err(|error| EmulatorError::Wrong(format!("too many rooms: {error}")))
}

/// The rooms of a client: the one that all are in, and about half of `emu-room-001` and so on; where there
/// is only that one, everybody is in it. The same in every run, because who has joined a room stays in it.
pub(super) fn rooms(emulation: &Emulation, client: usize) -> Result<Vec<OwnRoom>, EmulatorError> {
    let mut random = Random::new(0, ROOM_STREAMS + stream(client));
    let count = emulation.rooms;
    let mut rooms = vec![OwnRoom { number: 0, name: first_room(emulation)? }];
    for number in 1..=count {
        let name = room(number)?;
        if count == 1 || random.below(2) == 0 {
            rooms.push(OwnRoom { number: usize::try_from(number).unwrap_or(usize::MAX), name });
        }
    }
    Ok(rooms)
}

/// The clients share the rate and take turns.
pub(super) fn pace(emulation: &Emulation, number: usize) -> Pace {
    let (count, duration) = match emulation.extent {
        Extent::PerClient(count) => (Some(count), None),
        Extent::Duration(duration) => (None, Some(duration)),
    };
    let apart = emulation.rate.map(|rate| {
        // A rate too low for a Duration is a message that never comes.
        Duration::try_from_secs_f64(rate.recip()).unwrap_or(Duration::MAX)
    });
    let turn = u32::try_from(number).unwrap_or(u32::MAX);
    let offset = apart.unwrap_or_default().saturating_mul(turn);
    Pace { count, duration, offset, interval: apart.map(|a| a.saturating_mul(emulation.clients)) }
}

/// Messages of all clients together, if that is what ends the run.
pub(super) fn messages(emulation: &Emulation) -> Option<u64> {
    match emulation.extent {
        Extent::PerClient(count) => Some(u64::from(count) * u64::from(emulation.clients)),
        Extent::Duration(_) => None,
    }
}

/// How long the clients send, if that is known before.
pub(super) fn span(emulation: &Emulation) -> Option<Duration> {
    match (emulation.extent, emulation.rate) {
        (Extent::Duration(duration), _) => Some(duration),
        (Extent::PerClient(_), None) => None,
        (Extent::PerClient(count), Some(rate)) => {
            let seconds = f64::from(count) * f64::from(emulation.clients) / rate;
            Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulation(rate: Option<f64>) -> Emulation {
        Emulation {
            clients: 4,
            messages: "messages.txt".into(),
            extent: Extent::PerClient(3),
            rate,
            seed: None,
            html: None,
            rooms: 0,
            files: 0,
            churn: 0,
            offline: 0,
            p99_max: None,
            csv: None,
            lost_max: 0,
            in_lobby: false,
        }
    }

    fn with_rooms(rooms: u32) -> Emulation {
        Emulation { rooms, ..emulation(None) }
    }

    #[test]
    fn the_rate_is_that_of_all_clients_together() {
        let pace = pace(&emulation(Some(8.0)), 2);
        assert_eq!(pace.interval, Some(Duration::from_millis(500)));
        assert_eq!(pace.offset, Duration::from_millis(250));
        assert_eq!((pace.count, pace.duration), (Some(3), None));
        assert_eq!(super::pace(&emulation(None), 2).interval, None);
    }

    #[test]
    fn clients_are_in_one_room_and_in_about_half_of_the_others_in_every_run() {
        let all: Vec<_> = (0..40).map(|client| rooms(&with_rooms(10), client).unwrap()).collect();
        assert!(all.iter().all(|rooms| rooms[0].name.as_str() == "emu-room-000"));
        let places: usize = all.iter().map(|rooms| rooms.len() - 1).sum();
        assert!((120..=280).contains(&places), "{places} of 400");
        assert_eq!(all[7], rooms(&with_rooms(10), 7).unwrap());
        assert_eq!(rooms(&with_rooms(0), 3).unwrap().len(), 1);
        assert!((0..40).all(|client| rooms(&with_rooms(1), client).unwrap().len() == 2));
        let in_lobby = Emulation { in_lobby: true, ..with_rooms(0) };
        assert_eq!(rooms(&in_lobby, 3).unwrap()[0].name, RoomName::lobby());
    }

    #[test]
    fn names_have_three_digits_or_more() {
        let names = names(1000).unwrap();
        assert_eq!((names[0].as_str(), names[999].as_str()), ("emu-001", "emu-1000"));
    }
}
