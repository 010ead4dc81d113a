//! One device's end of the encryption: keys, membership views, epochs, ratchets. Frames in, events out; no I/O.
