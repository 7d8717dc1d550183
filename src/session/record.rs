use serde::{Deserialize, Serialize};

use crate::State;

/// What is stored of a session. The absolute deadline stands in the envelope, the idle one is
/// the entry's TTL.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionRecord<T> {
    /// The principal's name and its generation when the session was created.
    pub(super) owner: Option<(String, u64)>,
    pub(super) state: T,
}

impl<T: State> State for SessionRecord<T> {
    const SCHEMA: u16 = T::SCHEMA;
    const LAYOUT: u16 = 0x0101;
}
