//! Starts real servers and clients for the scenarios.
