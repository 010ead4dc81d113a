#[cfg(test)]
mod planted {}
