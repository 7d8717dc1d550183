//! Mistakes in conditions.

use crate::fault::Fault;
use crate::{mutants, plain};

mutants! {
    checks_then_acts: ChecksThenActs, plain => [
        "conditions::one_of_64_racing_creators_wins",
        "conditions::one_of_64_racing_deleters_wins",
        "conditions::one_of_64_racing_updaters_wins",
    ];
    delete_needs_an_entry: DeleteNeedsAnEntry, plain => [
        "conditions::an_expired_entry_is_absent",
        "conditions::delete_always",
        "conditions::delete_if_absent",
        "model::random_operations_agree_with_the_model",
    ];
    ignores_absent: IgnoresAbsent, plain => [
        "batches::a_refused_write_stops_nothing",
        "batches::answers_stand_in_the_order_of_the_writes",
        "batches::each_write_sees_the_one_before",
        "conditions::a_refused_write_carries_the_present_entry",
        "conditions::a_refused_write_changes_nothing",
        "conditions::check_changes_nothing",
        "conditions::delete_if_absent",
        "conditions::one_of_64_racing_creators_wins",
        "conditions::put_if_absent",
        "conditions::touch_if_absent_is_always_refused",
        "model::random_operations_agree_with_the_model",
        "transactions::a_refusal_names_the_write_and_what_is_there",
        "transactions::one_of_64_racing_on_shared_keys_wins",
        "versions::a_refused_write_uses_none_that_is_seen",
    ];
    ignores_present: IgnoresPresent, plain => [
        "conditions::a_refused_write_carries_the_present_entry",
        "conditions::an_expired_entry_is_absent",
        "conditions::check_changes_nothing",
        "conditions::delete_if_present",
        "conditions::put_if_present",
        "model::random_operations_agree_with_the_model",
        "transactions::a_refused_one_changes_nothing",
        "transactions::an_expired_entry_is_absent",
        "transactions::one_of_checks_only_changes_nothing",
    ];
    ignores_version: IgnoresVersion, plain => [
        "conditions::a_refused_write_carries_the_present_entry",
        "conditions::a_refused_write_changes_nothing",
        "conditions::a_version_of_another_key_does_not_count",
        "conditions::check_changes_nothing",
        "conditions::delete_if_version_is",
        "conditions::one_of_64_racing_updaters_wins",
        "conditions::put_if_version_is",
        "conditions::touch_if_version_is",
        "model::random_operations_agree_with_the_model",
        "transactions::transfers_of_64_tasks_are_serial",
    ];
    keeps_the_first_value: KeepsTheFirstValue, plain => [
        "batches::writes_are_made_in_order",
        "cancellation::a_write_dropped_at_every_await",
        "cancellation::calls_dropped_under_load_mix_up_no_answers",
        "conditions::one_of_64_racing_updaters_wins",
        "conditions::put_if_version_is",
        "limits::a_value_one_byte_too_long_is_too_large",
        "model::random_operations_agree_with_the_model",
        "read::a_put_value_is_read_back",
        "transactions::transfers_of_64_tasks_are_serial",
        "ttl::a_put_without_one_removes_the_deadline",
    ];
    put_never_overwrites: PutNeverOverwrites, plain => [
        "batches::every_verb_may_stand_in_a_batch",
        "batches::writes_are_made_in_order",
        "cancellation::a_write_dropped_at_every_await",
        "cancellation::calls_dropped_under_load_mix_up_no_answers",
        "conditions::a_refused_write_carries_the_present_entry",
        "conditions::a_refused_write_changes_nothing",
        "conditions::check_changes_nothing",
        "conditions::delete_always",
        "conditions::delete_if_absent",
        "conditions::delete_if_present",
        "conditions::delete_if_version_is",
        "conditions::put_always",
        "conditions::put_if_absent",
        "conditions::put_if_present",
        "conditions::put_if_version_is",
        "conditions::touch_always",
        "conditions::touch_if_absent_is_always_refused",
        "conditions::touch_if_present",
        "conditions::touch_if_version_is",
        "durability::a_clock_set_back_reuses_no_version",
        "limits::the_shortest_and_longest_ttl_are_taken",
        "model::random_operations_agree_with_the_model",
        "read::a_put_value_is_read_back",
        "read::age_grows_and_a_touch_does_not_reset_it",
        "read::left_shrinks_and_is_none_without_a_deadline",
        "transactions::a_refused_one_changes_nothing",
        "ttl::a_put_replaces_the_deadline",
        "ttl::a_put_without_one_removes_the_deadline",
        "versions::each_put_has_a_higher_one",
        "versions::racing_puts_never_share_one",
        "versions::they_increase_across_a_transaction",
        "versions::they_increase_across_delete",
        "versions::they_increase_across_expiry",
        "versions::they_increase_within_a_batch",
        "versions::what_is_written_says_when",
    ];
    refuses_empty_handed: RefusesEmptyHanded, plain => [
        "batches::answers_stand_in_the_order_of_the_writes",
        "conditions::a_refused_write_carries_the_present_entry",
        "conditions::one_of_64_racing_creators_wins",
        "model::random_operations_agree_with_the_model",
    ];
    touch_ignores_condition: TouchIgnoresCondition, plain => [
        "conditions::a_refused_write_carries_the_present_entry",
        "conditions::a_refused_write_changes_nothing",
        "conditions::touch_if_absent_is_always_refused",
        "conditions::touch_if_version_is",
        "model::random_operations_agree_with_the_model",
    ];
}
