//! What can happen in a world: each step is one script of Redis, or one thing that somebody does alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chat_server::order::opening::line::{Began, Line};
use chat_server::order::opening::{Decision, Heard, Question, Said, View, Words, decide};
use chat_server::order::redis::word::Word;

use super::losses::{becomes_old, begins_at, empty, go_back, other_redis, remove};
use super::promises;
use super::sight::{goes_on, is_forked, is_told_of_another, line_there, passes_over, seen_by};
use super::world::{Entry, Fault, Flying, HUBS, Hub, Meta, Place, World, chain, living, small};

/// What has happened, and to which hub or how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step(&'static str, usize);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.1)
    }
}

/// A world, and the step that leads there.
pub(crate) type Next = (Step, World);

/// Every step that is possible.
pub(crate) fn all(world: &World, fault: Fault) -> Vec<Next> {
    let mut next = Vec::new();
    around(world, &mut next);
    around_an_old_one(world, &mut next);
    next.extend(by_themselves(world, fault));
    for flying in &world.flying {
        let mut later = world.clone();
        later.flying.remove(flying);
        append(&mut later, *flying);
        next.push((Step("an append is carried out for hub", flying.entry.hub.into()), later));
    }
    next
}

/// What hubs do, and what time does, where nothing else happens.
pub(crate) fn by_themselves(world: &World, fault: Fault) -> Vec<Next> {
    let mut next = Vec::new();
    for hub in 0..HUBS {
        let Hub { is_up, is_forked, .. } = world.hubs[hub];
        if is_up && !is_forked {
            of_hub(world, hub, fault, &mut next);
            continue;
        }
        let node = u32::from(small(hub));
        let is_said = |run| {
            world
                .redis
                .openings
                .get(run)
                .is_some_and(|opening| opening.heard.said.contains_key(&node))
        };
        if is_said(&world.redis.run) {
            let mut later = world.clone();
            let heard = &mut later.opening(world.redis.run).heard;
            let said = heard.said.remove(&node);
            heard.silent.extend(said.map(|said| (node, said)));
            next.push((Step("nothing was heard for long of hub", hub), later));
        }
    }
    next
}

/// What happens to Redis, and to what is around it.
fn around(world: &World, next: &mut Vec<Next>) {
    let mut happens = |name, number, change: &dyn Fn(&mut World)| {
        let mut later = world.clone();
        change(&mut later);
        next.push((Step(name, number), later));
    };
    if world.left.restarts > 0 {
        happens("Redis starts again", 0, &|later| {
            later.left.restarts -= 1;
            other_redis(later);
        });
    }
    if world.left.backs > 0 {
        for lost in 1..=world.redis.stream.len().min(2) {
            happens("Redis goes back by", lost, &|later| go_back(later, lost, false));
            if begins_at(world, world.redis.stream.len() - lost) {
                happens("Redis goes back to before the log was opened there, by", lost, &|later| {
                    go_back(later, lost, true);
                });
            }
        }
    }
    if world.left.empties > 0 {
        happens("an empty Redis", 0, &|later| {
            later.left.empties -= 1;
            other_redis(later);
            empty(later);
        });
    }
    if world.left.flushes > 0 {
        happens("Redis is emptied", 0, &|later| {
            later.left.flushes -= 1;
            empty(later);
            later.hubs.iter_mut().for_each(|hub| hub.is_here = hub.is_up);
        });
    }
    let node = |hub: usize| u32::from(small(hub));
    let heard = world.redis.openings.get(&world.redis.run).map(|opening| &opening.heard);
    let has_said = |hub| heard.is_some_and(|heard| heard.questions().contains_key(&node(hub)));
    for hub in 0..HUBS {
        let old = world.old.get(&node(hub)).filter(|(run, _)| *run == world.redis.run);
        let may = world.left.shows > 0 && !world.is_open() && !has_said(hub);
        if let Some((run, words)) = old.filter(|_| may) {
            happens("Redis shows what was said at a closing before by hub", hub, &|later| {
                later.left.shows -= 1;
                later.opening(*run).heard.said.insert(node(hub), words.clone());
            });
        }
    }
    around_hubs(world, next);
}

/// An old Redis comes back, and a person does what is said of that.
fn around_an_old_one(world: &World, next: &mut Vec<Next>) {
    let mut happens = |name, number, change: &dyn Fn(&mut World)| {
        let mut later = world.clone();
        change(&mut later);
        next.push((Step(name, number), later));
    };
    let stream = world.before.as_ref().map_or(0, |(_, stream)| stream.len());
    for keep in stream.saturating_sub(1)..=stream {
        if world.left.olds > 0 {
            happens("an old Redis, with so many turns", keep, &|later| becomes_old(later, keep));
        }
    }
    let is_told = |hub: &usize| world.hubs[*hub].is_up && is_told_of_another(world, *hub);
    if let Some(hub) = (0..HUBS).find(is_told).filter(|_| world.left.removes > 0) {
        happens("a person removes what Redis has, as it is said by hub", hub, &|later| {
            later.left.removes -= 1;
            remove(later);
        });
    }
}

/// What happens to a process and to a disk, and what a person says.
fn around_hubs(world: &World, next: &mut Vec<Next>) {
    let mut happens = |name, number, change: &dyn Fn(&mut World)| {
        let mut later = world.clone();
        change(&mut later);
        next.push((Step(name, number), later));
    };
    for hub in 0..HUBS {
        let Hub { is_up, ref applied, .. } = world.hubs[hub];
        if is_up && world.left.deaths > 0 {
            happens("a hub dies", hub, &|later| {
                later.left.deaths -= 1;
                let hub = &mut later.hubs[hub];
                *hub = Hub {
                    is_up: false,
                    sent: None,
                    place: Place::Out,
                    is_here: false,
                    is_asking: false,
                    ..hub.clone()
                };
            });
        }
        if !is_up && world.left.starts > 0 {
            happens("a hub starts", hub, &|later| {
                later.left.starts -= 1;
                let hub = &mut later.hubs[hub];
                *hub =
                    Hub { is_up: true, is_new: true, life: hub.life + 1, number: 0, ..hub.clone() };
            });
        }
        if !is_up && world.left.restores > 0 && applied.len() > 1 {
            happens("a hub gets its folder of turn 1", hub, &|later| {
                later.left.restores -= 1;
                later.hubs[hub].applied.truncate(1);
                later.hubs[hub].openings.clear();
                later.hubs[hub].is_restored = true;
            });
        }
        let is_awaited = !world.is_open() && world.hubs.iter().any(|hub| !hub.is_up);
        if is_up && world.left.words > 0 && is_awaited {
            happens(
                "a person goes on without all who do not run, with the folder of a hub",
                hub,
                &|later| {
                    later.left.words -= 1;
                    let stopped = (0..HUBS).filter(|hub| !later.hubs[*hub].is_up);
                    let without = stopped.map(|hub| u32::from(small(hub))).collect();
                    let run = later.redis.run;
                    let answers = later.opening(run).heard.questions();
                    says(later, (hub, without), answers);
                },
            );
        }
    }
}

/// A person says without whom to go on, with the folder of one of the hubs, to those that have asked this.
pub(crate) fn says(
    world: &mut World,
    (speaker, without): (usize, BTreeSet<u32>),
    answers: BTreeMap<u32, Question>,
) {
    let turn = turns(&world.hubs[speaker].applied);
    world.left_out.extend(&without);
    world.word = Some((world.redis.run, Word { without, answers, turn }));
}

/// `append.lua`.
fn append(world: &mut World, Flying { entry, at }: Flying) {
    let (is_open, end) = (world.is_open(), world.end());
    let Some(meta) = world.redis.meta.as_mut().filter(|_| is_open) else { return };
    let Some(last) = meta.numbers.get_mut(&(entry.hub, entry.life)) else { return };
    if end < at || *last >= entry.number {
        return;
    }
    *last = entry.number;
    let generation = meta.generation;
    world.redis.stream.push(Entry { generation, ..entry });
}

/// What a hub may do next.
fn of_hub(world: &World, number: usize, fault: Fault, next: &mut Vec<Next>) {
    let hub = &world.hubs[number];
    let mut does = |name, change: &dyn Fn(&mut World)| {
        let mut later = world.clone();
        change(&mut later);
        next.push((Step(name, number), later));
    };
    if world.redis.stream.len() > hub.applied.len() || is_forked(world, hub) {
        does("reads", &|later| read(later, number, fault));
    }
    if world.is_open() {
        if world.left.sends > 0 {
            does("sends", &|later| send(later, number, fault));
        }
        let is_known = world
            .redis
            .meta
            .as_ref()
            .is_some_and(|meta| meta.numbers.contains_key(&(small(number), hub.life)));
        if !is_known {
            does("joins", &|later| join(later, number, fault));
        }
        if hub.place != Place::Out {
            does("sees that the log is open", &|later| later.hubs[number].place = Place::Out);
        }
    }
    let without = world.without(number);
    let is_left_out = without.is_some_and(|without| without.contains(&u32::from(small(number))));
    // A script of an opening may be on its way when the log is opened by another one.
    let mut opens = |name, change: &dyn Fn(&mut World, usize, Fault)| {
        does(name, &|later| change(later, number, fault));
    };
    match hub.place {
        // It says nothing any more.
        Place::Out if is_left_out => {}
        Place::Out if !world.is_open() => opens("says how far it is", &say),
        Place::Out => {}
        Place::Said { run }
        | Place::Decided { run, .. }
        | Place::Opener { run, .. }
        | Place::Ready { run, .. }
            if run != world.redis.run && fault != Fault::RunNotCompared =>
        {
            opens("is told that this is another Redis", &|later, number, _| {
                later.hubs[number].place = Place::Out;
            });
        }
        Place::Said { .. } => {
            opens("decides", &think);
            if !world.is_open() && has_more_to_say(world, number, fault) {
                opens("says it again", &say);
            }
        }
        Place::Decided { .. } => opens("becomes the opener", &claim),
        Place::Opener { .. } => opens("adds what is lacking", &refill),
        Place::Ready { .. } => opens("opens", &open),
    }
}

/// Whether a hub ends, as it is told that it has something which the log was opened without.
fn ends(world: &mut World, number: usize) -> bool {
    let hub = &world.hubs[number];
    let seen = seen_by(world, hub);
    let has_forked = is_forked(world, hub);
    let is_all_there = !has_forked && hub.applied.len() <= world.redis.stream.len();
    let broken = match seen {
        None if has_forked => Some("a hub does not see that it has forked"),
        Some(_) if is_all_there => Some("a hub is told that it has forked, and the log has it all"),
        _ => None,
    };
    world.broken = world.broken.or(broken);
    let ends = has_forked || seen.is_some();
    world.hubs[number].is_forked |= ends;
    ends
}

fn read(world: &mut World, number: usize, fault: Fault) {
    if ends(world, number) {
        return;
    }
    let hub = &world.hubs[number];
    let entry = world.redis.stream[hub.applied.len()];
    let is_void = passes_over(world, hub, entry);
    let read = |other: &Hub| other.applied.get(hub.applied.len()).map(|read| read.id());
    let is_read = world.hubs.iter().any(|other| read(other) == Some(entry.id()));
    let broken = match (is_void, world.redis.is_old) {
        (true, false) => Some("a hub never reads what the log has"),
        (false, true) if !is_read => Some("a hub reads what the log was opened without"),
        _ => None,
    };
    world.broken = world.broken.or(broken);
    if is_void {
        return;
    }
    learn(world, number, fault);
    let hub = &mut world.hubs[number];
    hub.applied.push(entry);
    hub.generation = hub.generation.max(entry.generation);
    is_at_the_end(world, number, fault);
    let hub = &mut world.hubs[number];
    if hub.sent.is_some_and(|sent| sent.id() == entry.id()) {
        hub.sent = None;
    }
    // Its next start looks at that, too.
    ends(world, number);
}

/// What led to where the log is gets noted, where this hub can go on there.
fn learn(world: &mut World, number: usize, fault: Fault) {
    let there = line_there(world);
    let noted = world.redis.meta.as_ref().map(Meta::noted).unwrap_or_default();
    let hub = &mut world.hubs[number];
    if !there.is_older_than(&hub.line()) {
        let is_forgotten = fault == Fault::PassedIsForgotten;
        hub.openings = if is_forgotten { there.openings().clone() } else { noted };
    }
}

/// Whoever has been at the end of the open log knows what there was to know.
fn is_at_the_end(world: &mut World, number: usize, fault: Fault) {
    if !world.is_open() {
        return;
    }
    let is_all = world.redis.stream.len() == world.hubs[number].applied.len();
    world.hubs[number].is_new &= !is_all;
    learn(world, number, fault);
}

/// A batch, or the same one again while it was not read back.
fn send(world: &mut World, number: usize, fault: Fault) {
    world.left.sends -= 1;
    // Nobody writes in a generation that it has not noted.
    is_at_the_end(world, number, fault);
    let hub = &mut world.hubs[number];
    let entry = hub.sent.unwrap_or_else(|| {
        hub.number += 1;
        Entry { hub: small(number), life: hub.life, number: hub.number, generation: 0 }
    });
    hub.sent = Some(entry);
    let at = small(hub.applied.len());
    world.flying.insert(Flying { entry, at });
}

/// `join.lua`.
fn join(world: &mut World, number: usize, fault: Fault) {
    let life = (small(number), world.hubs[number].life);
    // A life that was forgotten has no number any more that could be used twice.
    if let Some(meta) = &mut world.redis.meta {
        meta.numbers.entry(life).or_insert(0);
    }
    is_at_the_end(world, number, fault);
}

/// How many turns these are.
pub(crate) fn turns<T>(of: &[T]) -> u64 {
    u64::try_from(of.len()).expect("small")
}

/// How far a hub is.
fn said_of(hub: &Hub, fault: Fault) -> Said {
    Said {
        turn: turns(&hub.applied),
        chain: chain(&hub.applied),
        generation: hub.generation.into(),
        is_new: hub.is_new && fault != Fault::NewIsNotSaid,
    }
}

/// What a hub says that has heard the others ask.
fn words_of(world: &World, number: usize, fault: Fault) -> Words {
    let hub = &world.hubs[number];
    let heard = world.redis.openings.get(&world.redis.run).map(|opening| &opening.heard);
    let mut answers = heard.map(Heard::questions).unwrap_or_default();
    if !world.are_asking {
        answers = (0_u32..).zip(&world.hubs).map(|(node, hub)| (node, hub.asks())).collect();
    }
    answers.remove(&small(number).into());
    Words { said: said_of(hub, fault), asks: hub.asks(), answers }
}

/// Whether it has said something else than it would say now.
fn has_more_to_say(world: &World, number: usize, fault: Fault) -> bool {
    let node = u32::from(small(number));
    let opening = world.redis.openings.get(&world.redis.run);
    let there = opening.and_then(|opening| opening.heard.said.get(&node));
    there != Some(&words_of(world, number, fault))
}

/// `say.lua`: how far it is. Who is further than the opener puts it out.
fn say(world: &mut World, number: usize, fault: Fault) {
    let run = world.redis.run;
    world.ask(number);
    let words = words_of(world, number, fault);
    let turn = words.said.turn;
    if turn > turns(&world.redis.stream) {
        world.redis.told = world.redis.told.max(turn);
    }
    let opening = world.opening(run);
    let node = u32::from(small(number));
    opening.heard.silent.remove(&node);
    opening.heard.said.insert(node, words);
    let heard = &opening.heard;
    let turn_of = |hub: u8| {
        let hub = u32::from(hub);
        heard.said.get(&hub).or(heard.silent.get(&hub)).map_or(0, |words| words.said.turn)
    };
    let is_left_out = opening.without.contains(&node);
    if opening.opener.is_some_and(|opener| turn_of(opener) < turn)
        && (!is_left_out || fault == Fault::LeftOutPutsOut)
        && fault != Fault::OpenerNotPutOut
    {
        opening.opener = None;
        promises::put_out(world, is_left_out);
    }
    world.hubs[number].place = Place::Said { run };
}

/// It looks at what all have said, and decides.
fn think(world: &mut World, number: usize, fault: Fault) {
    let Place::Said { run } = world.hubs[number].place else { return };
    let hub = &world.hubs[number];
    let (node, own, asks) = (u32::from(small(number)), said_of(hub, fault), hub.asks());
    let mut heard = world.redis.openings.get(&run).cloned().unwrap_or_default().heard;
    let mut living = living(&hub.applied);
    match fault {
        Fault::NobodyWaitedFor => living.clear(),
        Fault::NotTheFurthest => {
            let is_behind = |words: &Words| words.said.turn <= turns(&hub.applied);
            heard.said.retain(|other, words| *other == node || is_behind(words));
            heard.silent.retain(|_, words| is_behind(words));
        }
        Fault::OldWordsCount => {
            for words in heard.said.values_mut().chain(heard.silent.values_mut()) {
                words.answers.insert(node, asks);
            }
        }
        _ => {}
    }
    let runs =
        (0_u32..).zip(&world.hubs).filter(|(_, hub)| hub.is_up && hub.is_here && !hub.is_forked);
    // Whoever runs says it again and again, and answers.
    let answers = |hub: u32| {
        let words = heard.said.get(&hub);
        hub == node || words.is_some_and(|words| words.answers.get(&node) == Some(&asks))
    };
    let is_time_over = runs.into_iter().all(|(hub, _)| answers(hub));
    let nobody = BTreeSet::new();
    let without = match fault {
        Fault::AloneIsEnough => world.without(number).or(Some(&nobody)),
        _ => world.without(number),
    };
    let has = turns(&world.redis.stream);
    let told = if fault == Fault::ToldIsForgotten { 0 } else { world.redis.told };
    let (living, heard) = (&living, &heard);
    let view = View { node, own, asks, living, heard, has, told, is_time_over, without };
    let there = line_there(world);
    let newest = there.generation(&hub.line());
    let before = match fault {
        Fault::BehindWhatWasReached => reached(&there.joined(hub.line()), hub),
        _ => newest,
    };
    let before = u8::try_from(before).expect("small");
    world.hubs[number].place = match decide(&view, |turn| hub.chain_at(turn)) {
        // It says so, and does nothing.
        Decision::Open { .. } if !goes_on(world, hub, fault) => return,
        Decision::Open { generation, .. } => {
            let generation = u8::try_from(generation.max(newest)).expect("small");
            Place::Decided { run, generation, before }
        }
        // It asks again, with what it has read by then.
        Decision::Read | Decision::LeftOut => Place::Out,
        _ => return,
    };
}

/// The newest generation that a hub has come to itself, or has read its last turn from.
fn reached(line: &Line, hub: &Hub) -> u64 {
    let end = turns(&hub.applied);
    let newest = line.openings().iter().rfind(|(_, began)| began.turn <= end);
    newest.map_or(1, |(generation, _)| *generation).max(hub.read_from())
}

/// `claim.lua`: nobody opens who is not the furthest of those that have said something. Whoever opens may be too slow,
/// and is replaced by another that is as far.
fn claim(world: &mut World, number: usize, fault: Fault) {
    let Place::Decided { run, generation, before } = world.hubs[number].place else { return };
    let node = u32::from(small(number));
    let is_open = world.is_open();
    let without = world.without(number).cloned().unwrap_or_default();
    let stalls = world.left.stalls;
    let are_at_it = world.hubs.each_ref().map(|hub| is_at_it(hub, run));
    let opening = world.opening(run);
    let own = opening.heard.said.get(&node).map(|words| words.said.turn);
    let counts = |hub: &u32| !without.contains(hub) || fault == Fault::LeftOutCounts;
    let mut said = opening.heard.said.iter().chain(&opening.heard.silent);
    let is_furthest = said.all(|(hub, words)| Some(words.said.turn) <= own || !counts(hub));
    // Who was left out and has not heard so waits for the opener as long as that one does something. Here it is late a few times at
    // most, or there would be no end.
    let is_put_off = opening.opener.is_some_and(|opener| are_at_it[usize::from(opener)])
        && opening.without.contains(&node);
    let is_furthest = is_furthest && (!is_put_off || stalls > 0);
    if is_open || own.is_none() || !(is_furthest || fault == Fault::NotTheFurthest) {
        world.hubs[number].place = Place::Out;
        return;
    }
    opening.opener = Some(small(number));
    opening.without = without;
    world.left.stalls = stalls.saturating_sub(u8::from(is_put_off));
    world.hubs[number].place = Place::Opener { run, generation, before };
}

/// Whether an opener goes on. One that does nothing loses its place to whoever waits for it, also where it runs: it was told
/// to read first, and what it has heard by then may have it leave the opening to another.
fn is_at_it(hub: &Hub, here: u8) -> bool {
    let is_here = |run| run == here && hub.is_up && !hub.is_forked;
    matches!(hub.place, Place::Opener { run, .. } | Place::Ready { run, .. } if is_here(run))
}

/// Whether a script of the opener does anything: the Redis is the one it was meant for, closed, and it is the opener.
fn may_write(world: &mut World, number: usize, run: u8, is_opener_checked: bool) -> bool {
    // With the mistake that does not compare, `run` is another Redis than this one.
    let is_closed = !world.is_open();
    let is_opener = world.opening(run).opener == Some(small(number));
    is_closed && (is_opener || !is_opener_checked)
}

/// A number behind this one that no other opening has, nor will have: by chance, on a server.
fn number_behind(world: &World, generation: u8, fault: Fault) -> u8 {
    let is_taken = |number: u8| {
        let noted = world.hubs.iter().any(|hub| hub.generation == number);
        let is_ready = |hub: &Hub| matches!(hub.place, Place::Ready { generation, .. } if generation == number);
        noted || world.begun.contains(&number) || world.hubs.iter().any(is_ready)
    };
    match fault {
        Fault::GenerationNotRaised => generation,
        Fault::GenerationsCounted => generation + 1,
        _ => {
            (generation + 1..=u8::MAX).find(|number| !is_taken(*number)).expect("there are enough")
        }
    }
}

/// `refill.lua`: one batch, behind the last one that is there. When all are there, the generation is noted.
fn refill(world: &mut World, number: usize, fault: Fault) {
    let Place::Opener { run, generation, before } = world.hubs[number].place else { return };
    let is_apart = !goes_on(world, &world.hubs[number], fault);
    if !may_write(world, number, run, true) || is_apart {
        world.hubs[number].place = Place::Out;
        return;
    }
    let end = world.redis.stream.len();
    let begins = number_behind(world, generation, fault);
    let applied = &world.hubs[number].applied;
    let lacking = applied.get(end).copied();
    let beyond = world.hubs[number].sent.filter(|_| fault == Fault::BeyondTheFurthest);
    let meta = world.redis.meta.get_or_insert_with(Meta::default);
    let Some(entry) = lacking.or(beyond.filter(|_| end == applied.len())) else {
        let hub = &mut world.hubs[number];
        hub.generation = hub.generation.max(begins);
        hub.place = Place::Ready { run, generation: begins, before };
        return;
    };
    // What is added gets the generation that the next one stands behind.
    let last = world.redis.stream.last().map_or(0, |last| last.generation);
    let entry = Entry { generation: before.max(last), ..entry };
    meta.generation = meta.generation.max(before);
    for (began, turn) in &world.hubs[number].openings {
        meta.openings.entry(*began).or_insert(*turn);
    }
    world.redis.stream.push(entry);
    let said = world.heard_by(number);
    promises::refilled(world, (small(end), entry), &said);
}

/// `settle.lua`: the log is open for this Redis.
fn open(world: &mut World, number: usize, fault: Fault) {
    let Place::Ready { run, generation, before } = world.hubs[number].place else { return };
    world.hubs[number].place = Place::Out;
    let is_end = world.redis.stream.len() == world.hubs[number].applied.len();
    if !may_write(world, number, run, fault != Fault::OpenerNotChecked) || !is_end {
        return;
    }
    let this = world.redis.run;
    let applied = world.hubs[number].applied.clone();
    let heard = world.redis.openings.get(&this).cloned().unwrap_or_default().heard;
    let meta = world.redis.meta.get_or_insert_with(Meta::default);
    if meta.generation >= generation && fault != Fault::GenerationNotRaised {
        return;
    }
    for entry in &applied {
        let number = meta.numbers.entry((entry.hub, entry.life)).or_insert(0);
        // With the fault they have written nothing, as far as it knows.
        if fault != Fault::NumbersNotRefilled {
            *number = (*number).max(entry.number);
        }
    }
    meta.generation = generation;
    meta.run = Some(this);
    for (generation, turn) in &world.hubs[number].openings {
        meta.openings.entry(*generation).or_insert(*turn);
    }
    let (turn, chain) = (turns(&applied), chain(&applied));
    meta.openings.insert(generation.into(), Began { before: before.into(), turn, chain });
    // Those whom it has asked, or with the mistake who is shown.
    let said = world.heard_by(number);
    world.redis.is_old = false;
    promises::opened(world, (generation, &applied[..]), &said);
    // What was said was said of the log as it was.
    world.redis.openings.remove(&this);
    world.redis.told = 0;
    world.refilled.clear();
    world.word = None;
    if world.left.shows > 0 {
        let said = heard.said.into_iter().chain(heard.silent);
        world.old.extend(said.map(|(hub, words)| (hub, (this, words))));
    }
    // Everybody sees that it is open: who does not is kept apart, by who can keep servers apart for good.
    for hub in &mut world.hubs {
        hub.is_asking = false;
        if matches!(hub.place, Place::Said { .. }) {
            hub.place = Place::Out;
        }
    }
}
