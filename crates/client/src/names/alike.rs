//! Marks for names that are easily taken for each other, when somebody of such a name is met.

use std::collections::BTreeSet;

use chat_endpoint::{Event, Standing};
use chat_protocol::name::UserName;
use serde_json::{Value, json};

use super::Names;

/// Who was met since the start, and of whom it was said that they are easily taken for somebody else.
#[derive(Debug, Default)]
pub struct Met {
    /// People who were met and look like nobody, as far as names were seen.
    unmarked: BTreeSet<UserName>,
    marked: BTreeSet<String>,
}

/// A name that is easily taken for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alike {
    name: UserName,
    like: Vec<String>,
}

impl Met {
    /// Those whom this event brings and who look like somebody whose name was seen. Each is told once, with their
    /// own line: a mark at the other one would not be where somebody looks. Whoever was compared by words is
    /// nobody's look-alike. Names may come later than the people who bear them, so whoever looked like nobody is
    /// looked at again.
    pub fn look(&mut self, me: &UserName, event: &Event, names: &Names) -> Vec<Alike> {
        match event {
            Event::Message { from, peer: Standing::Verified, .. } => {
                self.marked.insert(from.to_string());
                self.unmarked.remove(from);
            }
            Event::Message { from, .. } => self.meet(me, from),
            Event::MemberChanged { who, .. } => self.meet(me, who),
            Event::Presence { joined, .. } => joined.iter().for_each(|name| self.meet(me, name)),
            // A list brings nobody, but one name in two spellings is a lie wherever it stands.
            Event::People { people, .. } => {
                let doubled =
                    people.iter().filter(|person| names.has_doubled(person.name.as_str()));
                doubled.for_each(|person| self.meet(me, &person.name));
            }
            _ => return Vec::new(),
        }
        let alike = self.unmarked.iter().filter_map(|name| {
            let like: Vec<String> =
                names.like(name.as_str()).into_iter().map(str::to_owned).collect();
            (!like.is_empty()).then(|| Alike { name: name.clone(), like })
        });
        let mut told: Vec<Alike> = alike.collect();
        told.retain(|Alike { name, .. }| {
            self.unmarked.remove(name);
            self.marked.insert(name.to_string())
        });
        told
    }

    fn meet(&mut self, me: &UserName, name: &UserName) {
        if name != me && !self.marked.contains(name.as_str()) {
            self.unmarked.insert(name.clone());
        }
    }
}

impl Alike {
    /// As a line.
    pub fn line(&self) -> String {
        let Self { name, like } = self;
        let is_same = |other: &&String| other.eq_ignore_ascii_case(name.as_str());
        match like.iter().find(is_same) {
            // Rule R17: it is one name, and somebody has it already.
            Some(other) => format!(
                "! {name} is not {other}: the server shows one name in two spellings, which an honest \
                 server does not"
            ),
            None => format!("! {name} is not {}: the names are easily confused", like.join(" or ")),
        }
    }

    /// As a JSON object.
    pub fn object(&self) -> Value {
        json!({"event": "look_alike", "user": self.name, "like": self.like})
    }
}

#[cfg(test)]
mod tests {
    use chat_endpoint::Event;
    use chat_protocol::hub::Person;

    use super::*;

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn joined(name: &str) -> Event {
        Event::Presence { joined: vec![user(name)], left: Vec::new(), followed: Vec::new() }
    }

    fn lines(met: &mut Met, event: &Event, names: &Names) -> Vec<String> {
        met.look(&user("alice"), event, names).iter().map(Alike::line).collect()
    }

    #[test]
    fn a_mark_comes_with_the_name_that_it_is_about_and_once() {
        let (mut met, mut names) = (Met::default(), Names::default());
        names.learn("Iaura");
        assert!(lines(&mut met, &joined("Iaura"), &names).is_empty(), "nobody is like that yet");
        names.learn("laura");
        let people: Vec<Person> = Vec::new();
        let listed = lines(&mut met, &Event::People { people, more: false }, &names);
        assert_eq!(listed, ["! Iaura is not laura: the names are easily confused"]);
        assert!(lines(&mut met, &joined("Iaura"), &names).is_empty(), "once");
        let other = lines(&mut met, &joined("laura"), &names);
        assert_eq!(other, ["! laura is not Iaura: the names are easily confused"]);
        names.learn("1aura");
        let third = lines(&mut met, &joined("1aura"), &names);
        assert_eq!(third, ["! 1aura is not Iaura or laura: the names are easily confused"]);
    }

    /// Goal: nobody hides behind somebody whose words were compared: the mark stands at the other one. (The build
    /// before marked whichever wrote first, and the other one never.)
    #[test]
    fn whoever_is_verified_is_not_marked_and_the_look_alike_is() {
        let (mut met, mut names) = (Met::default(), Names::default());
        for name in ["laura", "laura."] {
            names.learn(name);
        }
        let message = |name, peer| Event::Message {
            id: chat_protocol::id::MessageId([1; 16]),
            cid: chat_protocol::name::ConversationId::parse("room:lobby").unwrap(),
            tag: chat_protocol::tag::Tag::Text,
            from: user(name),
            text: "hello".to_owned(),
            veiled: false,
            peer,
            said_in: None,
            position: 1,
            sent_ms: 1,
            hub_ms: 1,
            frame: None,
            healed_by: None,
            granted_by: None,
            gone: false,
        };
        assert!(lines(&mut met, &message("laura", Standing::Verified), &names).is_empty());
        let told = lines(&mut met, &message("laura.", Standing::Known), &names);
        assert_eq!(told, ["! laura. is not laura: the names are easily confused"]);
    }

    #[test]
    fn one_name_in_two_spellings_is_told_as_a_lie_of_the_server() {
        let person = |name| Person { name: user(name), online: true, agent: false };
        let people = vec![person("Bob"), person("carol")];
        let mut names = Names::default();
        for name in ["bob", "Bob", "carol"] {
            names.learn(name);
        }
        for event in [joined("Bob"), Event::People { people, more: false }] {
            let line = lines(&mut Met::default(), &event, &names).concat();
            assert!(line.contains("Bob is not bob") && line.contains("honest"), "{line}");
        }
    }
}
