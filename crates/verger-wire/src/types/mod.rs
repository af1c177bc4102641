//! The nouns of the wire, named and spelled as in the peer's schema: snake_case here, camelCase there.
//!
//! `Option` fields are written as `null`, as the peer does, unless their doc says they are left out. Ids are text,
//! times are Unix seconds unless the name ends in `Ms`.

mod account;
mod item;
mod job;
mod mcp;
mod settings;
mod status;
mod thread;
mod turn;
mod usage;
mod user_input;

pub use account::*;
pub use item::*;
pub use job::*;
pub use mcp::*;
pub use settings::*;
pub use status::*;
pub use thread::*;
pub use turn::*;
pub use usage::*;
pub use user_input::*;
