use serde::{Deserialize, Serialize};

use crate::store::Head;

/// What is stored of a session before its state. The absolute deadline stands in the envelope,
/// the idle one is the entry's TTL.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionHead {
    /// The principal's name and its generation when the session was created.
    pub(super) owner: Option<(String, u64)>,
}

impl Head for SessionHead {
    const LAYOUT: u16 = 0x0101;
}
