//! Whole-system scenarios: real servers, real clients, one test binary.

#[cfg(test)]
mod suite;
