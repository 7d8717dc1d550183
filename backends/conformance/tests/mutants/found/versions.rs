//! Mistakes in versions.

use crate::fault::Fault;
use crate::{mutants, plain};

mutants! {
    refusal_bumps_version: RefusalBumpsVersion, plain => [
        "conditions::a_refused_write_carries_the_present_entry",
        "conditions::a_refused_write_changes_nothing",
        "model::random_operations_agree_with_the_model",
        "versions::a_refused_write_uses_none_that_is_seen",
    ];
    touch_bumps_version: TouchBumpsVersion, plain => [
        "cancellation::a_touch_or_delete_dropped_at_every_await",
        "model::random_operations_agree_with_the_model",
        "read::age_grows_and_a_touch_does_not_reset_it",
        "versions::a_touch_keeps_it",
    ];
    versions_are_coarse: VersionsAreCoarse, plain => [
        "conditions::a_refused_write_carries_the_present_entry",
        "conditions::a_refused_write_changes_nothing",
        "conditions::check_changes_nothing",
        "conditions::delete_if_version_is",
        "conditions::one_of_64_racing_updaters_wins",
        "conditions::put_if_version_is",
        "conditions::touch_if_version_is",
        "durability::a_clock_set_back_reuses_no_version",
        "durability::versions_go_on_from_where_they_were",
        "model::random_operations_agree_with_the_model",
        "transactions::every_verb_may_stand_in_one",
        "transactions::transfers_of_64_tasks_are_serial",
        "versions::each_put_has_a_higher_one",
        "versions::racing_puts_never_share_one",
        "versions::they_increase_across_a_transaction",
        "versions::they_increase_across_delete",
        "versions::they_increase_across_expiry",
        "versions::they_increase_within_a_batch",
    ];
    versions_restart_with_the_entry: VersionsRestartWithTheEntry, plain => [
        "durability::entries_come_back_as_they_were",
        "durability::versions_go_on_from_where_they_were",
        "model::random_operations_agree_with_the_model",
        "versions::they_increase_across_delete",
        "versions::they_increase_across_expiry",
    ];
    written_runs_ahead: WrittenRunsAhead, plain => [
        "versions::what_is_written_says_when",
        "versions::written_and_age_make_the_present_time",
    ];
}
