//! Mistakes in what a backend says of itself and in reads.

use crate::fault::Fault;
use crate::{mutants, plain};

mutants! {
    info_differs: InfoDiffers, plain => [
        "promise::info_is_what_was_declared",
    ];
    uses_more_than_its_limit: UsesMoreThanItsLimit, plain => [
        "promise::an_open_backend_is_healthy",
    ];
    age_counts_from_the_touch: AgeCountsFromTheTouch, plain => [
        "conditions::a_refused_write_carries_the_present_entry",
        "model::random_operations_agree_with_the_model",
        "read::age_grows_and_a_touch_does_not_reset_it",
    ];
    drops_duplicate_keys: DropsDuplicateKeys, plain => [
        "model::random_operations_agree_with_the_model",
        "read::get_many_answers_duplicates",
        "read::get_many_over_the_limit_is_too_large",
    ];
    empty_is_miss: EmptyIsMiss, plain => [
        "model::random_operations_agree_with_the_model",
        "read::an_empty_value_is_not_a_miss",
    ];
    empty_calls_fail: EmptyCallsFail, plain => [
        "batches::an_empty_batch_is_fine",
        "model::random_operations_agree_with_the_model",
        "read::get_many_of_nothing_is_nothing",
        "transactions::an_empty_one_is_applied",
    ];
    get_many_forgets_left: GetManyForgetsLeft, plain => [
        "batches::every_verb_may_stand_in_a_batch",
        "model::random_operations_agree_with_the_model",
        "read::all_reads_tell_the_same",
    ];
    get_many_sorts: GetManySorts, plain => [
        "model::random_operations_agree_with_the_model",
        "read::get_many_answers_duplicates",
        "read::get_many_keeps_the_order",
    ];
    ignores_case: IgnoresCase, plain => [
        "limits::keys_of_one_letter_work",
        "read::groups_and_namespaces_are_apart",
    ];
    ignores_punctuation: IgnoresPunctuation, plain => [
        "limits::keys_of_one_letter_work",
    ];
    left_is_overstated: LeftIsOverstated, plain => [
        "model::random_operations_agree_with_the_model",
        "read::left_is_never_overstated",
        "read::left_shrinks_and_is_none_without_a_deadline",
    ];
    miss_is_an_empty_entry: MissIsAnEmptyEntry, plain => [
        "cancellation::a_batch_dropped_at_every_await",
        "damage::a_transaction_makes_nothing",
        "durability::a_clock_set_back_revives_nothing",
        "durability::deadlines_go_on_while_it_is_closed",
        "durability::deleted_entries_stay_deleted",
        "limits::a_batch_one_too_long_is_too_large",
        "limits::a_transaction_one_too_long_is_too_large",
        "limits::a_value_too_long_in_a_transaction_is_too_large",
        "model::random_operations_agree_with_the_model",
        "read::a_missing_key_is_none",
        "read::get_many_answers_duplicates",
        "read::get_many_keeps_the_order",
        "transactions::a_key_twice_is_invalid",
        "transactions::a_refused_one_changes_nothing",
        "transactions::a_touch_of_an_absent_key_refuses_all",
        "transactions::one_of_64_racing_on_shared_keys_wins",
        "transactions::one_of_checks_only_changes_nothing",
    ];
    ready_always_misses: ReadyAlwaysMisses, plain => [
        "model::random_operations_agree_with_the_model",
        "read::get_ready_agrees_with_get",
    ];
    takes_text_only: TakesTextOnly, plain => [
        "read::every_byte_comes_back",
    ];
}
