//! Envelopes that were altered, by the hundred thousand: none is accepted. What decides that stands in
//! this crate (form, canonical header, signature, seal), so no device and no hub is needed.

#[cfg(test)]
#[path = "altered/alter.rs"]
mod alter;
#[cfg(test)]
#[path = "altered/genuine.rs"]
mod genuine;
#[cfg(test)]
#[path = "support/parties.rs"]
mod parties;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::alter::{Dice, alter};
    use super::genuine::genuine;

    const ALTERED: usize = 100_000;

    /// Goal: whatever a hub does to the bytes of an envelope, nobody accepts it. Method: envelopes of every
    /// kind, each changed in one of several ways; what happens to be the same bytes is drawn again.
    #[test]
    fn no_altered_envelope_is_accepted() {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(39);
        println!("SEED={seed}");
        let mut dice = Dice::new(seed);
        let genuine = genuine();
        for envelope in &genuine {
            assert!(envelope.is_accepted(&envelope.bytes), "{} is genuine", envelope.what);
        }
        let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
        let mut altered = 0;
        while altered < ALTERED {
            let envelope = &genuine[altered % genuine.len()];
            let other = &genuine[dice.below(genuine.len())];
            let (bytes, how) = alter(&mut dice, &envelope.bytes, &other.bytes);
            if genuine.iter().any(|genuine| genuine.bytes == bytes) {
                continue;
            }
            altered += 1;
            let what = envelope.what;
            assert!(!envelope.is_accepted(&bytes), "SEED={seed}: {what}, {how}, was accepted");
            if envelope.has_form(&bytes) {
                *reached.entry(what).or_default() += 1;
            }
        }
        // Enough of them have every form that is asked for, so that signature or seal have decided.
        println!("in good form: {reached:?}");
        for envelope in &genuine {
            let count = reached.get(envelope.what).copied().unwrap_or(0);
            assert!(count * genuine.len() * 20 >= ALTERED, "{}: {count}", envelope.what);
        }
    }
}
