//! chaos placeholder
