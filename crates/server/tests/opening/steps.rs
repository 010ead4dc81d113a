//! What can happen in a world: each step is one script of Redis, or one thing that somebody does alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chat_server::order::opening::{Decision, Said, View, decide, forked_behind};

use super::promises;
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
    for hub in 0..HUBS {
        if world.hubs[hub].is_up && !world.hubs[hub].is_forked {
            of_hub(world, hub, fault, &mut next);
        }
    }
    for flying in &world.flying {
        let mut later = world.clone();
        later.flying.remove(flying);
        append(&mut later, *flying);
        next.push((Step("an append is carried out for hub", flying.entry.hub.into()), later));
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
            happens("Redis goes back by", lost, &|later| {
                later.left.backs -= 1;
                go_back(later, lost);
            });
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
            later.refilled.clear();
        });
    }
    around_hubs(world, next);
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
        if !is_up && world.left.words > 0 {
            happens("a person goes on without a hub", hub, &|later| {
                later.left.words -= 1;
                later.without = Some(small(hub));
            });
        }
    }
}

/// Another process of Redis: whoever was there notices, and has time to say something.
fn other_redis(world: &mut World) {
    world.redis.run += 1;
    world.refilled.clear();
    world.hubs.iter_mut().for_each(|hub| hub.is_here = hub.is_up);
}

fn empty(world: &mut World) {
    world.redis.meta = None;
    world.redis.stream.clear();
    world.redis.openings.clear();
}

/// What Redis is without its last turns: stream and numbers are written by one script, and lost by one.
fn go_back(world: &mut World, lost: usize) {
    other_redis(world);
    world.redis.openings.clear();
    let keep = world.redis.stream.len() - lost;
    world.redis.stream.truncate(keep);
    let Some(meta) = &mut world.redis.meta else { return };
    meta.generation = world.redis.stream.last().map_or(1, |entry| entry.generation);
    for (life, number) in &mut meta.numbers {
        let of_life = world.redis.stream.iter().filter(|entry| (entry.hub, entry.life) == *life);
        *number = of_life.map(|entry| entry.number).max().unwrap_or(0);
    }
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
        does("reads", &|later| read(later, number));
    }
    if world.is_open() {
        if world.left.sends > 0 {
            does("sends", &|later| send(later, number));
        }
        let is_known = world
            .redis
            .meta
            .as_ref()
            .is_some_and(|meta| meta.numbers.contains_key(&(small(number), hub.life)));
        if !is_known {
            does("joins", &|later| join(later, number));
        }
        if hub.place != Place::Out {
            does("sees that the log is open", &|later| later.hubs[number].place = Place::Out);
        }
    }
    // A script of an opening may be on its way when the log is opened by another one.
    let mut opens = |name, change: &dyn Fn(&mut World, usize, Fault)| {
        does(name, &|later| change(later, number, fault));
    };
    match hub.place {
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
        Place::Said { .. } => opens("decides", &think),
        Place::Decided { .. } => opens("becomes the opener", &claim),
        Place::Opener { .. } => opens("adds what is lacking", &refill),
        Place::Ready { .. } => opens("opens", &open),
    }
}

/// The log has, at a turn that the hub has applied, something else.
fn is_forked(world: &World, hub: &Hub) -> bool {
    let pairs = world.redis.stream.iter().zip(&hub.applied);
    pairs.into_iter().any(|(there, here)| there.id() != here.id())
}

/// What a hub knows of generations when it asks Redis, too.
fn openings(world: &World, hub: &Hub) -> BTreeMap<u64, u64> {
    let mut openings = hub.openings.clone();
    openings.extend(world.redis.meta.iter().flat_map(|meta| meta.openings.clone()));
    openings
}

fn read(world: &mut World, number: usize) {
    let hub = &world.hubs[number];
    let openings = openings(world, hub);
    let read_from = hub.applied.last().map_or(0, |last| u64::from(last.generation));
    let is_seen = forked_behind(&openings, (turns(&hub.applied), read_from)).is_some();
    if is_forked(world, &world.hubs[number]) {
        if !is_seen {
            world.broken = world.broken.or(Some("a hub does not see that it has forked"));
        }
        world.hubs[number].is_forked = true;
        return;
    }
    let hub = &mut world.hubs[number];
    let entry = world.redis.stream[hub.applied.len()];
    hub.applied.push(entry);
    hub.openings = openings;
    hub.generation = hub.generation.max(entry.generation);
    is_at_the_end(world, number);
    let hub = &mut world.hubs[number];
    if hub.sent.is_some_and(|sent| sent.id() == entry.id()) {
        hub.sent = None;
    }
}

/// Whoever has been at the end of the open log knows what there was to know.
fn is_at_the_end(world: &mut World, number: usize) {
    let is_all = world.is_open() && world.redis.stream.len() == world.hubs[number].applied.len();
    world.hubs[number].is_new &= !is_all;
}

/// A batch, or the same one again while it was not read back.
fn send(world: &mut World, number: usize) {
    world.left.sends -= 1;
    // Nobody writes in a generation that it has not noted.
    let openings = openings(world, &world.hubs[number]);
    let hub = &mut world.hubs[number];
    hub.openings = openings;
    let entry = hub.sent.unwrap_or_else(|| {
        hub.number += 1;
        Entry { hub: small(number), life: hub.life, number: hub.number, generation: 0 }
    });
    hub.sent = Some(entry);
    let at = small(hub.applied.len());
    world.flying.insert(Flying { entry, at });
}

/// `join.lua`.
fn join(world: &mut World, number: usize) {
    let life = (small(number), world.hubs[number].life);
    // A life that was forgotten has no number any more that could be used twice.
    if let Some(meta) = &mut world.redis.meta {
        meta.numbers.entry(life).or_insert(0);
    }
    is_at_the_end(world, number);
}

/// How many turns these are.
fn turns<T>(of: &[T]) -> u64 {
    u64::try_from(of.len()).expect("small")
}

/// `say.lua`: how far it is. Who is further than the opener puts it out.
fn say(world: &mut World, number: usize, fault: Fault) {
    let run = world.redis.run;
    let hub = &world.hubs[number];
    let said = Said {
        turn: turns(&hub.applied),
        chain: chain(&hub.applied),
        generation: hub.generation.into(),
        is_new: hub.is_new && fault != Fault::NewIsNotSaid,
    };
    let opening = world.opening(run);
    opening.said.insert(u32::try_from(number).expect("small"), said);
    let turn_of = |hub: u8| opening.said.get(&u32::from(hub)).map_or(0, |said| said.turn);
    if opening.opener.is_some_and(|opener| turn_of(opener) < said.turn)
        && fault != Fault::OpenerNotPutOut
    {
        opening.opener = None;
    }
    world.hubs[number].place = Place::Said { run };
}

/// It looks at what all have said, and decides.
fn think(world: &mut World, number: usize, fault: Fault) {
    let Place::Said { run } = world.hubs[number].place else { return };
    let hub = &world.hubs[number];
    let node = u32::try_from(number).expect("small");
    let mut said = world.redis.openings.get(&run).cloned().unwrap_or_default().said;
    let mut living = living(&hub.applied);
    match fault {
        Fault::NobodyWaitedFor => living.clear(),
        Fault::NotTheFurthest => {
            said.retain(|other, said| *other == node || said.turn <= turns(&hub.applied));
        }
        _ => {}
    }
    let runs =
        (0_u32..).zip(&world.hubs).filter(|(_, hub)| hub.is_up && hub.is_here && !hub.is_forked);
    let is_time_over = runs.into_iter().all(|(hub, _)| said.contains_key(&hub));
    let without = world.without.map(|hub| BTreeSet::from([u32::from(hub)]));
    let nobody = BTreeSet::new();
    let without = match fault {
        Fault::AloneIsEnough => without.as_ref().or(Some(&nobody)),
        _ => without.as_ref(),
    };
    let has = turns(&world.redis.stream);
    let view = View { node, living: &living, said: &said, has, is_time_over, without };
    let chain_at = |turn| Some(chain(hub.applied.get(..usize::try_from(turn).ok()?)?));
    world.hubs[number].place = match decide(&view, chain_at) {
        Decision::Open { generation, .. } => {
            Place::Decided { run, generation: u8::try_from(generation).expect("small") }
        }
        // It asks again, with what it has read by then.
        Decision::Read => Place::Out,
        _ => return,
    };
}

/// `claim.lua`: nobody opens who is not the furthest of those that have said something. Whoever opens may be too slow,
/// and is replaced by another that is as far.
fn claim(world: &mut World, number: usize, fault: Fault) {
    let Place::Decided { run, generation } = world.hubs[number].place else { return };
    let node = u32::try_from(number).expect("small");
    let is_open = world.is_open();
    let opening = world.opening(run);
    let own = opening.said.get(&node).map(|said| said.turn);
    let is_furthest = opening.said.values().all(|said| Some(said.turn) <= own);
    if is_open || own.is_none() || !(is_furthest || fault == Fault::NotTheFurthest) {
        world.hubs[number].place = Place::Out;
        return;
    }
    opening.opener = Some(small(number));
    world.hubs[number].place = Place::Opener { run, generation };
}

/// Whether a script of the opener does anything: the Redis is the one it was meant for, closed, and it is the opener.
fn may_write(world: &mut World, number: usize, run: u8, is_opener_checked: bool) -> bool {
    // With the mistake that does not compare, `run` is another Redis than this one.
    let is_closed = !world.is_open();
    let is_opener = world.opening(run).opener == Some(small(number));
    is_closed && (is_opener || !is_opener_checked)
}

/// `refill.lua`: one batch, behind the last one that is there. When all are there, the generation is noted.
fn refill(world: &mut World, number: usize, fault: Fault) {
    let Place::Opener { run, generation } = world.hubs[number].place else { return };
    if !may_write(world, number, run, true) {
        world.hubs[number].place = Place::Out;
        return;
    }
    let end = world.redis.stream.len();
    let applied = &world.hubs[number].applied;
    let lacking = applied.get(end).copied();
    let beyond = world.hubs[number].sent.filter(|_| fault == Fault::BeyondTheFurthest);
    let meta = world.redis.meta.get_or_insert_with(Meta::default);
    let Some(entry) = lacking.or(beyond.filter(|_| end == applied.len())) else {
        let hub = &mut world.hubs[number];
        if fault != Fault::GenerationNotNoted {
            hub.generation = hub.generation.max(generation + 1);
        }
        hub.place = Place::Ready { run, generation };
        return;
    };
    // What is added gets the newest generation that anybody knows.
    let entry = Entry { generation: generation.max(entry.generation), ..entry };
    meta.generation = meta.generation.max(entry.generation);
    for (began, turn) in &world.hubs[number].openings {
        meta.openings.entry(*began).or_insert(*turn);
    }
    world.redis.stream.push(entry);
    promises::refilled(world, small(end), entry);
}

/// `open.lua`: the log is open for this Redis.
fn open(world: &mut World, number: usize, fault: Fault) {
    let Place::Ready { run, generation } = world.hubs[number].place else { return };
    world.hubs[number].place = Place::Out;
    let is_end = world.redis.stream.len() == world.hubs[number].applied.len();
    if !may_write(world, number, run, fault != Fault::OpenerNotChecked) || !is_end {
        return;
    }
    let this = world.redis.run;
    let applied = world.hubs[number].applied.clone();
    let said = world.redis.openings.get(&this).cloned().unwrap_or_default().said;
    let meta = world.redis.meta.get_or_insert_with(Meta::default);
    for entry in &applied {
        let number = meta.numbers.entry((entry.hub, entry.life)).or_insert(0);
        // With the fault they have written nothing, as far as it knows.
        if fault != Fault::NumbersNotRefilled {
            *number = (*number).max(entry.number);
        }
    }
    meta.generation = meta.generation.max(generation);
    if fault != Fault::GenerationNotRaised {
        meta.generation += 1;
    }
    meta.run = Some(this);
    let began = meta.generation;
    for (generation, turn) in &world.hubs[number].openings {
        meta.openings.entry(*generation).or_insert(*turn);
    }
    meta.openings.insert(began.into(), turns(&applied));
    promises::opened(world, began, &said);
}
