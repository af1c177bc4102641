//! The tiny supervisor that stands between Verger and each helper.

#![forbid(unsafe_code)]
