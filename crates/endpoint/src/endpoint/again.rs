//! What is said again: on a new connection everything without an answer, and one id when the hub could
//! not take it.

use chat_protocol::id::MessageId;

use super::Endpoint;
use crate::questions::Question;

impl Endpoint {
    /// Sends again, byte-identical and in order, what has no answer.
    pub(super) fn resend(&mut self) {
        self.outbox.resend().into_iter().for_each(|frame| self.out.send_frame(frame));
        self.receipts.resend(&mut self.out);
        self.say_keys();
    }

    /// Sends one id again; of a message, everything of its conversation from it on (rule R6).
    pub(super) fn send_again(&mut self, now_ms: u64, id: &MessageId) {
        match self.out.questions.get(id).cloned() {
            Some(Question::Message(first)) => self.send_messages_again(&first),
            Some(Question::Receipt) => {
                self.receipts.frame(id).into_iter().for_each(|frame| self.out.send_frame(frame));
            }
            Some(Question::Key { .. }) => self.say_key(id),
            // What is signed anew has another id.
            Some(Question::Order(order)) => {
                self.out.questions.take(id);
                self.requests.again(&order);
            }
            Some(Question::Counters { cids }) => self.ask_counters_of(*id, cids),
            Some(Question::Files(question)) => self.ask_of_files(*id, *question),
            Some(question) => self.ask_again(now_ms, id, question),
            None => {}
        }
    }

    /// Asks again under another id.
    fn ask_again(&mut self, now_ms: u64, id: &MessageId, question: Question) {
        self.out.questions.take(id);
        let again = match question {
            Question::Join(cid) => self.join(&cid, now_ms),
            Question::Bundles { names, kids, view, first } => {
                self.ask_bundles_again(Some(first), &names, kids, view)
            }
            Question::Remind { of, bundles, links } => self.send_reminder_of(of, bundles, links),
            page => self.ask_page(page),
        };
        self.retry_moved(id, again);
    }

    /// Sends what is sealed of a conversation from a message on.
    fn send_messages_again(&mut self, first: &String) {
        for (id, frame) in self.outbox.sealed_from(first) {
            self.link.retries.remove(&id);
            self.out.send_frame(frame);
        }
    }
}
