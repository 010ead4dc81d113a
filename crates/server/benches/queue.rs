//! What one request costs in the queue: nearly empty, as nearly always, and full of aged requests.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use chat_server::{
    connection::ConnectionId,
    queue::{Lane, PriorityQueue, Ticket},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn ticket(n: u64, connections: u64) -> Ticket<u64> {
    let lane = match n % 5 {
        0 => Lane::Control,
        1 => Lane::Command,
        2 => Lane::Interactive,
        3 => Lane::Broadcast,
        _ => Lane::Bulk,
    };
    let chain = (!n.is_multiple_of(3)).then_some(n % 7);
    Ticket { connection: ConnectionId(n % connections), lane, chain }
}

/// Keeps `depth` requests waiting and measures one push with one take, 10 us apart.
fn push_and_take(criterion: &mut Criterion, name: &str, depth: u64) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        let mut queue = PriorityQueue::default();
        let (mut now, mut n) = (Instant::now(), 0);
        for _ in 0..depth {
            queue.push(now, ticket(n, 64), n);
            n += 1;
        }
        bencher.iter(|| {
            now += Duration::from_micros(10);
            queue.push(now, ticket(n, 64), n);
            n += 1;
            black_box(queue.take(now))
        });
    });
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    push_and_take(criterion, "nearly empty", 0);
    push_and_take(criterion, "64 waiting", 64);
    push_and_take(criterion, "4096 waiting", 4_096);
}

criterion_group!(queue, benches);
criterion_main!(queue);
