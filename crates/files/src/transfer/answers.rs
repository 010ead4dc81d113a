//! Answers find their way to the task that waits for them, by the id of what was asked.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use tokio::sync::mpsc;

/// Answers that came before their question's id was known to whoever asked: a few, for an instant.
const EARLY_MAX: usize = 64;

/// Events that answer one question: kept, delivered, and the answer itself. More would be a repetition.
const ANSWERS_MAX: usize = 8;

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<MessageId, mpsc::Sender<Event>>,
    early: VecDeque<(MessageId, Event)>,
}

/// What comes in answer to one question. Dropping it ends the waiting.
#[derive(Debug)]
pub(super) struct Answer(mpsc::Receiver<Event>);

impl Answer {
    /// The next event that answers.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Answers {
    /// Waits for what answers this id.
    pub(super) fn expect(&self, id: MessageId) -> Answer {
        let (sender, receiver) = mpsc::channel(ANSWERS_MAX);
        let mut state = self.0.lock();
        let (mine, others) =
            std::mem::take(&mut state.early).into_iter().partition(|(of, _)| *of == id);
        state.early = others;
        let mine: VecDeque<_> = mine;
        for (_, event) in mine {
            // The receiver is still here, and empty.
            sender.try_send(event).ok();
        }
        state.waiting.retain(|_, waiting| !waiting.is_closed());
        state.waiting.insert(id, sender);
        Answer(receiver)
    }

    /// Hands an event to whoever waits for it, now or in an instant.
    pub(super) fn answer(&self, id: MessageId, event: Event) {
        let mut state = self.0.lock();
        if let Some(waiting) = state.waiting.get(&id) {
            // Whoever waited may be gone, or has heard enough.
            waiting.try_send(event).ok();
            return;
        }
        if state.early.len() >= EARLY_MAX {
            state.early.pop_front();
        }
        state.early.push_back((id, event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(id: MessageId, offers: u32) -> Event {
        Event::Shared { id, offers }
    }

    #[tokio::test]
    async fn an_answer_finds_its_question_early_or_late() {
        let (answers, id, other) = (Answers::default(), MessageId([1; 16]), MessageId([2; 16]));
        answers.answer(id, shared(id, 1));
        answers.answer(other, shared(other, 9));
        let mut answer = answers.expect(id);
        answers.answer(id, shared(id, 2));
        for expected in [1, 2] {
            let got = answer.next().await;
            assert!(matches!(got, Some(Event::Shared { offers, .. }) if offers == expected));
        }
        assert!(matches!(
            answers.expect(other).next().await,
            Some(Event::Shared { offers: 9, .. })
        ));
    }

    #[test]
    fn answers_that_nobody_wants_do_not_pile_up() {
        let answers = Answers::default();
        for n in 0..=255 {
            answers.answer(MessageId([n; 16]), shared(MessageId([n; 16]), 0));
        }
        assert_eq!(answers.0.lock().early.len(), EARLY_MAX);
    }
}
