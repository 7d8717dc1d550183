//! Mistakes with what cannot be read.

use crate::fault::Fault;
use crate::{mutants, plain};

mutants! {
    clears_what_it_cannot_read: ClearsWhatItCannotRead, plain => [
        "damage::a_batch_makes_the_others",
        "damage::writes_leave_what_cannot_be_read",
    ];
    takes_empty_for_absent: TakesEmptyForAbsent, plain => [
        "damage::a_batch_makes_the_others",
        "damage::writes_leave_what_cannot_be_read",
    ];
    unreadable_is_miss: UnreadableIsMiss, plain => [
        "damage::reads_say_what_cannot_be_read",
    ];
}
