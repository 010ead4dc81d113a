//! Marks for names that are easily taken for each other, when somebody of such a name is met.

use std::collections::{BTreeMap, BTreeSet};

use chat_endpoint::{Event, Standing};
use chat_protocol::name::UserName;
use serde_json::{Value, json};

use super::{Names, fold, look};

/// People who are remembered of those whom one has met since the start: of those that look like nobody, and of
/// those that are marked. More than anybody meets in days; a server that invents people fills no more than
/// some megabytes. Beyond it a name is looked at when it is met, and a mark is told again.
const MET_MAX: usize = 16_384;

/// Who was met since the start, and of whom it was said that they are easily taken for somebody else.
#[derive(Debug, Default)]
pub struct Met {
    /// People who were met and look like nobody, as far as names were seen: by look, and by their letters in
    /// lower case. Two of one key would be alike, so each has one.
    unmarked: BTreeMap<String, UserName>,
    folded: BTreeMap<String, UserName>,
    marked: BTreeSet<UserName>,
    /// How many of the names that came as look-alikes were compared with those people.
    compared: usize,
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
    /// looked at again when a name comes that looks like theirs.
    pub fn look(&mut self, me: &UserName, event: &Event, names: &Names) -> Vec<Alike> {
        let due = self.due(me, event, names);
        due.into_iter().filter_map(|name| self.look_at(name, names)).collect()
    }

    /// Who is to be looked at because of this event: whom it brings, and who is met by a new name. They are no
    /// more than those, however many were met before.
    fn due(&mut self, me: &UserName, event: &Event, names: &Names) -> BTreeSet<UserName> {
        let mut due = BTreeSet::new();
        match event {
            Event::Message { from, peer: Standing::Verified, .. } => {
                self.forget(from);
                self.mark(from.clone());
            }
            Event::Message { from, .. } => drop(due.insert(from.clone())),
            Event::MemberChanged { who, .. } => drop(due.insert(who.clone())),
            Event::Presence { joined, .. } => due.extend(joined.iter().cloned()),
            // A list brings nobody, but one name in two spellings is a lie wherever it stands.
            Event::People { people, .. } => {
                let doubled =
                    people.iter().filter(|person| names.has_doubled(person.name.as_str()));
                due.extend(doubled.map(|person| person.name.clone()));
            }
            _ => {}
        }
        due.retain(|name| name != me && !self.marked.contains(name));
        for name in names.look_alikes_from(self.compared) {
            let met = [self.unmarked.get(&look(name)), self.folded.get(&fold(name))];
            due.extend(met.into_iter().flatten().cloned());
            self.compared += 1;
        }
        due
    }

    fn look_at(&mut self, name: UserName, names: &Names) -> Option<Alike> {
        let like: Vec<String> = names.like(name.as_str()).into_iter().map(str::to_owned).collect();
        if like.is_empty() {
            if self.unmarked.len().max(self.folded.len()) < MET_MAX {
                self.folded.insert(fold(name.as_str()), name.clone());
                self.unmarked.insert(look(name.as_str()), name);
            }
            return None;
        }
        self.forget(&name);
        self.mark(name.clone());
        Some(Alike { name, like })
    }

    fn mark(&mut self, name: UserName) {
        if self.marked.len() < MET_MAX {
            self.marked.insert(name);
        }
    }

    fn forget(&mut self, name: &UserName) {
        let by_look = look(name.as_str());
        if self.unmarked.get(&by_look) == Some(name) {
            self.unmarked.remove(&by_look);
            self.folded.remove(&fold(name.as_str()));
        }
    }
}

impl Alike {
    /// The name.
    pub fn name(&self) -> &UserName {
        &self.name
    }

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

    /// Goal: who was met before costs nothing later. (The build before looked at everybody whom it had met, for each
    /// line.) Method: it counts who is looked at; 3,000 people are met, then one writes, and then a name comes that
    /// looks like one of them.
    #[test]
    fn an_event_costs_looks_at_those_whom_it_is_about_alone() {
        let (mut met, mut names, me) = (Met::default(), Names::default(), user("alice"));
        let looks = |met: &mut Met, names: &Names, event: &Event| {
            let due = met.due(&me, event, names);
            let looked_at = due.len();
            let told = due.into_iter().filter_map(|name| met.look_at(name, names)).count();
            (looked_at, told)
        };
        let people: Vec<UserName> = (0..3_000).map(|n| user(&format!("person{n}x"))).collect();
        for name in &people {
            names.learn(name.as_str());
        }
        let event = Event::Presence { joined: people, left: Vec::new(), followed: Vec::new() };
        assert_eq!(looks(&mut met, &names, &event), (3_000, 0));
        names.learn("bob");
        assert_eq!(looks(&mut met, &names, &joined("bob")), (1, 0));
        names.learn("person7.x");
        let list = Event::People { people: Vec::new(), more: false };
        assert_eq!(looks(&mut met, &names, &list), (1, 1));
        assert_eq!(looks(&mut met, &names, &list), (0, 0), "once");
    }

    /// Goal: a server that invents people fills no memory, and a look-alike is marked all the same.
    #[test]
    fn so_many_people_are_remembered_and_the_others_are_looked_at() {
        let (mut met, mut names) = (Met::default(), Names::default());
        let invented = |n: usize| format!("a{n:x}z");
        for n in 0..MET_MAX + 2 {
            names.learn(&invented(n));
            lines(&mut met, &joined(&invented(n)), &names);
        }
        assert!(met.unmarked.len() <= MET_MAX && met.marked.len() <= MET_MAX);
        names.learn("laura");
        names.learn("1aura");
        let told = lines(&mut met, &joined("1aura"), &names);
        assert_eq!(told, ["! 1aura is not laura: the names are easily confused"]);
    }
}
