//! The envelope's rules, one test for each that this crate can show. Rules about what the hub and
//! a device keep are tested where that is kept.

#[cfg(test)]
#[path = "rules/frames.rs"]
mod frames;
#[cfg(test)]
#[path = "rules/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "rules/messages.rs"]
mod messages;
#[cfg(test)]
#[path = "support/parties.rs"]
mod parties;
#[cfg(test)]
#[path = "rules/sign_in.rs"]
mod sign_in;
#[cfg(test)]
#[path = "support/signing_in.rs"]
mod signing_in;
