//! The conformance suite: every rule of sessions, as cases that any engine can run.
//!
//! Each case is a function of an [`EngineFixture`](crate::testing::EngineFixture), in a module
//! named after its subject. [`engine_conformance!`](crate::testing::engine_conformance) makes one
//! test of each. Its list is the only one, and a test below checks that the list is complete.

pub mod contract;
pub mod listings;
pub mod sessions;
pub mod storage;
pub mod time;

mod kit;

/// Runs the conformance suite over an engine: one `#[test]` for each case, in modules named after
/// their subjects.
///
/// The argument is the type of an [`EngineFixture`](crate::testing::EngineFixture); each case
/// creates a new one. Use the macro at the top of its own test module; the tests are then named
/// `module::lifetimes::extending_an_expired_session_does_not_revive_it` and so on.
///
/// # Examples
///
/// ```
/// use sessile::testing::{EngineFixture, MemoryFixture};
///
/// /// The memory engine once more, behind a pointer.
/// struct Shared(MemoryFixture);
///
/// impl EngineFixture for Shared {
///     type Engine = std::sync::Arc<<MemoryFixture as EngineFixture>::Engine>;
///
///     fn new() -> Self {
///         Self(MemoryFixture::new())
///     }
///     fn open(&self) -> Self::Engine {
///         self.0.open().into()
///     }
/// }
///
/// mod behind_a_pointer {
///     sessile::testing::engine_conformance!(super::Shared);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! engine_conformance {
    ($fixture:path) => {
        type ConformanceFixture = $fixture;
        $crate::engine_conformance! { @cases
            time::lifetimes {
                every_method_finds_a_session_in_its_last_millisecond
                no_method_finds_a_session_at_its_deadline
                an_expired_session_is_absent_before_and_after_it_is_swept
                extending_an_expired_session_does_not_revive_it
                extending_gives_a_full_inactivity_timeout_from_now
                an_extension_holds_whether_flushed_or_not
                reading_and_listing_do_not_extend
                reading_with_extension_shows_the_extended_life
                saving_extends
                extending_stops_at_the_absolute_deadline
                a_timeout_below_a_millisecond_is_refused_and_one_millisecond_is_lived
                own_timeouts_override_the_stores_one_by_one
                own_timeouts_survive_every_change
                own_timeouts_are_checked_as_the_stores_are
                own_timeouts_can_be_changed_and_taken_away
                own_timeouts_that_are_set_later_are_checked_too
                timeouts_that_are_over_already_are_refused_and_nothing_is_written
            }
            time::clocks {
                a_clock_that_goes_back_extends_nothing
                last_active_never_decreases_and_created_at_never_changes
                a_stale_handle_does_not_move_time_back
                what_was_swept_under_a_fast_clock_stays_gone
                a_session_from_the_future_lives_by_its_own_times
                before_1970_every_method_fails_and_nothing_changes
                a_deadline_past_the_end_of_time_is_refused_at_creation
                timeouts_without_end_do_not_wrap_around
            }
            sessions::creation {
                a_created_session_is_read_as_it_was
                an_encoded_id_leads_back_to_its_session
                an_unknown_id_finds_nothing_and_creates_nothing
                a_stored_key_is_no_id
                two_sessions_with_the_same_content_are_two
                content_up_to_the_limit_is_stored_and_beyond_it_nothing_is
                content_of_no_bytes_is_content
                max_sessions_is_a_limit_that_expired_sessions_do_not_count_against
                attributes_keep_their_types_and_their_names
            }
            sessions::updates {
                update_saves_the_content
                a_stale_update_is_a_conflict_and_changes_nothing
                an_update_without_a_change_still_makes_others_stale
                a_touch_is_no_conflict
                updating_what_is_gone_changes_nothing
                modify_saves_what_the_closure_changed
                modify_tries_again_after_a_conflict
                modify_does_not_bring_back_what_its_closure_saw_go
                modify_gives_what_its_closure_returns
                an_error_of_the_closure_is_returned_and_nothing_is_written
                what_a_session_says_of_its_times_is_ignored
            }
            sessions::regeneration {
                regenerating_moves_a_session_to_a_new_id
                the_absolute_deadline_outlives_any_number_of_ids
                of_two_handles_that_regenerate_one_wins
                the_csrf_token_changes_with_the_id_and_with_nothing_else
                a_login_gives_the_session_its_user_and_a_new_id_in_one_step
                a_touch_moves_along_to_the_new_id
            }
            listings::users {
                a_user_sees_all_their_sessions_and_no_others
                users_who_look_alike_are_different_users
                a_user_id_past_the_limit_is_refused_and_nothing_is_written
                a_session_moves_between_listings_with_its_user
                ending_the_others_leaves_the_session_itself
                ending_the_others_goes_by_the_stored_user
                ending_the_others_of_what_is_gone_ends_nothing
                ending_counts_live_sessions_alone
                a_session_is_ended_by_its_key_alone
                a_user_may_have_ten_thousand_sessions
                ten_thousand_sessions_of_a_user_end_at_once
                a_user_with_as_many_sessions_as_they_may_have_is_refused_another
                one_session_too_many_ends_the_least_recently_active
                the_limit_of_a_user_holds_for_sessions_that_change_their_user
                expired_sessions_do_not_count_against_the_limit_of_a_user
                a_limit_that_is_lowered_waits_for_the_next_session
                a_full_store_ends_nothing_for_a_session_it_refuses
            }
            listings::listing {
                for_each_shows_every_session_with_its_content
                for_each_shows_one_moment_whatever_its_closure_does
                clear_ends_every_session_and_the_store_goes_on
                the_store_tells_its_timeouts_and_numbers
                every_handle_of_a_store_is_the_same_store
                a_check_of_a_sound_store_counts_everything_and_finds_nothing
                a_check_reports_content_that_does_not_fit
            }
            listings::by_key {
                a_session_is_read_by_its_key_and_lives_no_longer_for_it
                a_change_by_key_changes_the_content_and_nothing_else
                a_change_by_key_gives_what_its_closure_returns
                a_change_by_key_tries_again_after_a_conflict
                a_change_by_key_brings_nothing_back
                every_other_session_of_a_user_is_changed_and_nobody_elses
                a_change_of_a_users_other_sessions_looks_at_whose_they_are
                a_change_of_a_users_other_sessions_follows_those_that_get_new_ids
                a_users_sessions_are_listed_with_their_content
                a_session_is_ended_for_its_user_and_for_nobody_else
            }
            listings::pages {
                a_list_is_turned_over_page_by_page
                a_visitor_that_has_seen_enough_is_shown_no_more
                users_are_listed_with_how_many_sessions_they_have
                a_user_who_is_renamed_keeps_their_sessions
                a_token_that_is_drawn_later_is_saved_and_stays
                own_timeouts_come_and_go_with_a_new_id_as_well
            }
            time::sweeping {
                a_sweep_deletes_the_expired_and_counts_them
                a_sweep_spares_what_was_extended_again_and_again
                a_sweep_knows_each_sessions_own_timeouts
                a_sweep_takes_as_many_steps_as_it_needs
            }
            storage::reopening {
                everything_is_there_after_reopening
                a_touch_survives_a_drop_as_it_does_a_close
                other_handles_learn_that_the_store_is_closed
                a_store_closed_while_it_is_visited_fails_or_finishes
                shorter_timeouts_apply_at_once_to_stored_sessions
                shorter_timeouts_delete_nothing_before_they_are_adopted
                what_has_ended_stays_gone_under_longer_timeouts
                shorter_timeouts_that_were_in_force_for_an_interval_end_sessions_for_good
                timeouts_of_which_one_is_longer_and_one_shorter_end_no_live_session
                two_stores_on_one_engine_have_the_same_timeouts
                longer_timeouts_apply_at_once_to_stored_sessions
                content_of_another_name_is_refused
                renamed_content_is_opened_under_its_old_name_and_its_new_one
                a_store_without_a_name_takes_one_on
            }
            sessions::migrations {
                content_of_an_earlier_version_is_migrated_when_read
                reading_alone_leaves_content_in_its_earlier_version
                content_that_does_not_fit_is_refused_and_nothing_is_lost
                content_of_a_newer_version_is_refused_and_nothing_is_lost
                a_migration_that_fails_is_an_error_and_nothing_is_lost
            }
            sessions::faults {
                without_random_bytes_no_session_is_made
                an_id_that_is_taken_is_drawn_again
                a_source_that_repeats_itself_is_given_up_on
                content_that_cannot_be_encoded_fails_that_call_alone
                a_visitor_that_panics_leaves_the_store_usable
            }
            sessions::secrets {
                nothing_that_is_printed_shows_an_id_or_a_token
                no_error_shows_an_id
                no_id_is_stored_in_any_form
            }
            storage::sharing {
                a_read_that_begins_after_a_write_returned_sees_it
                every_thread_sees_a_created_and_a_destroyed_session_at_once
                threads_that_count_through_modify_lose_no_count
                of_many_updates_of_one_revision_one_is_saved
                of_many_regenerations_one_wins
                creation_stops_at_max_sessions_however_many_ask
                no_number_of_threads_gets_a_user_past_their_limit
            }
            contract::engine {
                insert_needs_a_free_key
                insert_counts_every_record_against_the_limit
                replace_goes_by_the_revision
                replace_keeps_the_later_activity
                replace_by_an_earlier_deadline_is_swept_under_it
                replace_moves_a_record_to_its_own_user
                rekey_moves_a_record_in_one_step
                touches_merge_into_whatever_is_handed_out
                an_engine_tells_how_late_a_touch_is_that_only_memory_has
                removals_say_what_ended
                a_removal_that_names_an_owner_ends_nobody_elses
                metadata_is_kept_through_clear_and_reopening
                a_closed_engine_answers_that_it_is_closed
                every_part_of_a_record_comes_back
            }
            contract::indexes {
                scans_go_in_the_order_of_the_keys_and_stop_at_an_error
                a_sweep_takes_limited_steps_and_moves_early_entries
                reindex_finds_what_shorter_timeouts_have_ended
                a_scan_begins_after_a_key_and_ends_where_it_is_told_to
                users_are_shown_once_with_their_live_records
                a_user_is_renamed_with_all_their_sessions_in_one_step
                a_rename_moves_every_revision_on_and_keeps_the_greatest
            }
            contract::liveness {
                an_expired_record_is_missing_to_every_call
                a_removal_says_what_had_expired_before_it
                what_has_expired_stays_when_a_limit_ends_other_sessions
                every_call_finds_a_record_in_its_last_millisecond
                a_save_that_is_no_activity_moves_no_deadline
                of_a_sweep_and_an_extension_one_comes_first
            }
            contract::calls {
                every_call_of_the_store_is_one_call_of_the_engine
                a_call_about_the_whole_store_costs_as_many_calls_as_the_contract_names
                an_adoption_is_one_pass_over_the_index_and_one_entry
                a_call_that_finds_nothing_costs_no_more
                content_that_may_be_migrated_is_read_before_its_life_is_extended
                a_try_of_modify_is_a_read_and_a_save
            }
        }
    };
    (@cases $($folder:ident::$module:ident { $($case:ident)* })*) => {$(
        mod $module {
            $(
                #[test]
                fn $case() {
                    $crate::testing::conformance::$folder::$module::$case::<
                        super::ConformanceFixture,
                    >();
                }
            )*
        }
    )*};
}

#[cfg(test)]
mod tests {
    const SOURCES: &[(&str, &str)] = &[
        ("time::lifetimes", include_str!("time/lifetimes.rs")),
        ("time::clocks", include_str!("time/clocks.rs")),
        ("sessions::creation", include_str!("sessions/creation.rs")),
        ("sessions::updates", include_str!("sessions/updates.rs")),
        ("sessions::regeneration", include_str!("sessions/regeneration.rs")),
        ("listings::users", include_str!("listings/users.rs")),
        ("listings::listing", include_str!("listings/listing.rs")),
        ("listings::by_key", include_str!("listings/by_key.rs")),
        ("listings::pages", include_str!("listings/pages.rs")),
        ("time::sweeping", include_str!("time/sweeping.rs")),
        ("storage::reopening", include_str!("storage/reopening.rs")),
        ("sessions::migrations", include_str!("sessions/migrations.rs")),
        ("sessions::faults", include_str!("sessions/faults.rs")),
        ("sessions::secrets", include_str!("sessions/secrets.rs")),
        ("storage::sharing", include_str!("storage/sharing.rs")),
        ("contract::engine", include_str!("contract/engine.rs")),
        ("contract::indexes", include_str!("contract/indexes.rs")),
        ("contract::liveness", include_str!("contract/liveness.rs")),
        ("contract::calls", include_str!("contract/calls.rs")),
    ];

    #[test]
    fn every_case_is_on_the_list() {
        let list = include_str!("mod.rs");
        for (module, source) in SOURCES {
            let start = format!("            {module} {{");
            let (_, cases) = list.split_once(&start).unwrap();
            let (cases, _) = cases.split_once('}').unwrap();
            let listed: Vec<_> = cases.split_whitespace().collect();
            let written: Vec<_> = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub fn ")?.split_once('<'))
                .map(|(name, _)| name)
                .collect();
            assert_eq!(listed, written, "{module}");
        }
    }
}
