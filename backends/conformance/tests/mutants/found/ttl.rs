//! Mistakes in deadlines.

use crate::fault::Fault;
use crate::{mutants, plain};

mutants! {
    caps_ttl_at_30_days: CapsTtlAt30Days, plain => [
        "limits::the_shortest_and_longest_ttl_are_taken",
        "ttl::over_30_days",
        "ttl::ten_years",
    ];
    deadline_survives_delete: DeadlineSurvivesDelete, plain => [
        "model::random_operations_agree_with_the_model",
        "ttl::a_delete_forgets_the_deadline",
    ];
    defaults_to_a_year: DefaultsToAYear, plain => [
        "batches::every_verb_may_stand_in_a_batch",
        "model::random_operations_agree_with_the_model",
        "read::left_shrinks_and_is_none_without_a_deadline",
        "transactions::a_refused_one_changes_nothing",
        "ttl::a_put_without_one_removes_the_deadline",
        "ttl::an_entry_without_one_stays",
    ];
    put_keeps_deadline: PutKeepsDeadline, plain => [
        "model::random_operations_agree_with_the_model",
        "ttl::a_put_without_one_removes_the_deadline",
    ];
    rounds_ttl_down_to_seconds: RoundsTtlDownToSeconds, plain => [
        "conditions::an_expired_entry_is_absent",
        "model::random_operations_agree_with_the_model",
        "read::left_is_never_overstated",
        "scan::expired_and_deleted_keys_are_not_listed",
        "transactions::an_expired_entry_is_absent",
        "ttl::a_touch_cannot_revive",
        "ttl::a_touch_extends",
        "ttl::a_touch_shortens",
        "ttl::below_a_second",
        "ttl::expired_in_get_many",
        "ttl::one_millisecond",
        "ttl::over_30_days",
        "ttl::seconds_and_odd_milliseconds",
        "versions::they_increase_across_expiry",
    ];
    serves_late: ServesLate, plain => [
        "conditions::an_expired_entry_is_absent",
        "model::random_operations_agree_with_the_model",
        "read::left_is_never_overstated",
        "read::left_shrinks_and_is_none_without_a_deadline",
        "scan::expired_and_deleted_keys_are_not_listed",
        "transactions::an_expired_entry_is_absent",
        "ttl::a_day",
        "ttl::a_put_replaces_the_deadline",
        "ttl::a_touch_cannot_revive",
        "ttl::a_touch_extends",
        "ttl::a_touch_shortens",
        "ttl::below_a_second",
        "ttl::expired_in_get_many",
        "ttl::one_millisecond",
        "ttl::over_30_days",
        "ttl::seconds_and_odd_milliseconds",
        "versions::they_increase_across_expiry",
    ];
    sweeps_the_living: SweepsTheLiving, plain => [
        "model::random_operations_agree_with_the_model",
        "ttl::a_day",
        "ttl::a_put_replaces_the_deadline",
        "ttl::a_sweep_removes_no_live_entry",
        "ttl::a_touch_extends",
        "ttl::a_touch_shortens",
        "ttl::below_a_second",
        "ttl::one_millisecond",
        "ttl::over_30_days",
        "ttl::seconds_and_odd_milliseconds",
        "ttl::ten_years",
    ];
    touch_is_ignored: TouchIsIgnored, plain => [
        "batches::every_verb_may_stand_in_a_batch",
        "cancellation::a_touch_or_delete_dropped_at_every_await",
        "conditions::touch_if_absent_is_always_refused",
        "model::random_operations_agree_with_the_model",
        "scan::expired_and_deleted_keys_are_not_listed",
        "transactions::every_verb_may_stand_in_one",
        "ttl::a_touch_extends",
        "ttl::a_touch_removes",
        "ttl::a_touch_shortens",
        "versions::they_increase_across_expiry",
    ];
    touch_revives: TouchRevives, plain => [
        "batches::each_write_sees_the_one_before",
        "conditions::touch_always",
        "conditions::touch_if_absent_is_always_refused",
        "conditions::touch_if_present",
        "conditions::touch_if_version_is",
        "model::random_operations_agree_with_the_model",
        "ttl::a_touch_cannot_revive",
    ];
}
