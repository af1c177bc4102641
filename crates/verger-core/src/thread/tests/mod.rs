//! Tests of the machine of one thread.
