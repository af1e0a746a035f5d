"""What is known of the service, by statement: the tests that hold the emulator to it, or why it departs.

A statement is named by words of its own in the collection of facts. docs/emulator.md lists the deviations.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement.

    :param words: of the statement, as the collection has them.
    :param tests: what holds the emulator to it; a test's name, or a module's where all of it does.
    :param deviation: what the emulator does otherwise, and why; empty: nothing.
    """

    words: str
    tests: tuple[str, ...] = ()
    deviation: str = ""


RECORDINGS = "test_the_emulator_answers_as_the_recorded_service_did"

FACTS = (
    # Operations
    Fact("paths are case-insensitive", ("test_paths_know_no_case",)),
    Fact(
        "Success is always 200; anything else is an error",
        (RECORDINGS, "test_what_is_not_in_the_spec_is_found"),
        "DELETE of what is not there answers 204, as the spec says.",
    ),
    Fact(
        "| RunFilterParameters -> `{value, continuationToken?}`",
        ("test_a_page_says_that_there_is_more_after_its_rows",),
    ),
    Fact(
        "| strongly consistent [R] |",
        ("test_a_new_run_and_a_new_status_show_late_in_queries_but_not_in_a_get",),
    ),
    Fact("`/pipelineruns/{runId}/cancel?isRecursive=` | no body |", (RECORDINGS,)),
    Fact(
        "`/pipelineruns/{runId}/queryActivityruns` | mind the casing", ("test_paths_know_no_case", RECORDINGS)
    ),
    Fact(
        "| eventually consistent [R]; there is no GET of one trigger run |",
        (
            "test_a_rerun_shows_in_queries_only_when_the_lag_has_passed",
            "test_there_is_no_get_of_one_trigger_run",
        ),
        "A GET of one trigger run is answered 501, as every route that is not served; what the service says"
        " is unknown.",
    ),
    Fact("| no body, no parameters |", (RECORDINGS, "test_actions_answer_as_their_generation_does")),
    Fact(
        "`referencePipelineRunId, isRecovery, startActivityName, startFromFailure`",
        (
            "test_a_recovery_run_joins_the_group_with_the_same_parameters",
            "test_a_recovery_from_failure_runs_only_what_failed",
            "test_a_recovery_from_an_activity_runs_it_and_what_follows",
        ),
    ),
    Fact("| recordings: plain 200 |", (RECORDINGS, "test_a_trigger_says_whether_it_is_started")),
    Fact(
        "`lastUpdatedAfter`, `lastUpdatedBefore` (required)",
        ("test_what_the_service_cannot_be_asked_is_a_bad_request",),
    ),
    Fact(
        "operator: Equals|NotEquals|In|NotIn",
        (
            "test_a_filter_returns_the_runs_it_describes",
            "test_what_the_service_cannot_be_asked_is_a_bad_request",
        ),
    ),
    Fact("order: ASC|DESC", ("test_results_come_in_the_order_of_each_operand",)),
    Fact(
        "Pipeline runs filter by PipelineName, RunStart, RunEnd, Status",
        ("test_a_filter_returns_the_runs_it_describes", "test_operands_of_other_runs_are_refused"),
    ),
    Fact("RunGroupId (one value only)", ("test_several_run_groups_are_refused_in_the_services_own_words",)),
    Fact("LatestOnly", ("test_latest_only_leaves_out_runs_that_were_recovered",)),
    Fact(
        "by ActivityName, ActivityRunStart, ActivityRunEnd", ("test_a_filter_returns_the_runs_it_describes",)
    ),
    Fact("trigger runs by TriggerName", ("test_a_filter_returns_the_runs_it_describes",)),
    Fact(
        "There is no filter by run id, parent run or window [S]",
        ("test_what_the_service_cannot_be_asked_is_a_bad_request",),
    ),
    Fact("Pages hold 100 [I], not configurable", ("test_two_hundred_fifty_runs_come_in_three_pages",)),
    Fact("A future `lastUpdatedBefore` is accepted [R]", ("test_a_query_may_look_into_the_future",)),
    Fact(
        "History is kept 45 days; older queries are silently truncated [D]",
        ("test_runs_older_than_45_days_are_forgotten_without_a_word",),
    ),
    # Statuses
    Fact(
        "- Pipeline run: Queued, InProgress, Canceling (one l), Cancelled (two), Succeeded, Failed",
        (
            "test_a_filter_returns_the_runs_it_describes",
            "test_a_run_beyond_the_concurrency_queues_and_starts_when_another_ends",
            "test_a_cancel_answers_at_once_and_takes_its_time",
        ),
    ),
    Fact(
        "Waiting, Running, Succeeded [R], WaitingOnDependency [R, error text; D], Failed [S], Cancelled",
        (
            "test_a_rerun_waits_then_runs_then_succeeds",
            "test_a_stuck_run_goes_on_only_by_cancel_and_rerun",
            "test_a_run_waits_on_its_dependencies_for_seven_days_at_most",
        ),
    ),
    Fact(
        "- Activity run: Queued, InProgress, Succeeded, Failed, Cancelled [S, D, inf]",
        ("test_a_filter_returns_the_runs_it_describes",),
        "An activity is never Queued: it begins when the ones it depends on have ended.",
    ),
    # Wire forms
    Fact(
        "Until 2021: compact JSON, actions answer an empty body",
        (
            RECORDINGS,
            "test_json_is_compact_until_2021_and_indented_since",
            "test_actions_answer_as_their_generation_does",
        ),
    ),
    Fact(
        'Since 2022: indented JSON, cancel and rerun answer `""` (a JSON string), start and stop answer `{}`',
        (
            RECORDINGS,
            "test_json_is_compact_until_2021_and_indented_since",
            "test_actions_answer_as_their_generation_does",
        ),
    ),
    Fact(
        "`id` (its ARM prefix upper-cased)",
        (RECORDINGS, "test_the_arm_part_of_a_runs_id_is_in_upper_case_and_the_rest_is_not"),
    ),
    Fact(
        "parameters (values are strings)",
        (
            "test_parameters_are_text_on_the_run",
            "test_a_run_takes_the_declared_parameters_and_drops_the_others",
        ),
    ),
    Fact(
        "and for a child pipelineName, pipelineRunId [S]",
        ("test_a_child_says_who_started_it_and_the_activity_names_the_child",),
    ),
    Fact(
        "durationInMs, status, message, pipelineReturnValue (since 2022)",
        ("test_a_pipeline_run_has_the_recorded_keys_in_their_order",),
    ),
    Fact(
        "`runDimension` (the spec and the SDK say runDimensions), isLatest",
        ("test_a_pipeline_run_has_the_recorded_keys_in_their_order",),
    ),
    Fact(
        "- Trigger run keys: triggerName, triggerRunId, triggerType",
        (RECORDINGS, "test_a_trigger_run_has_the_keys_of_the_recordings_in_their_order"),
    ),
    Fact("(`{}` while waiting), groupId (not in the spec), dependencyStatus", (RECORDINGS,)),
    Fact('"9/10/2019 1:00:00 PM"', (RECORDINGS, "test_a_windows_time_is_written_the_american_way")),
    Fact("A schedule run has TriggerTime, ScheduleTime", (RECORDINGS, "test_a_published_schedule_fires")),
    Fact(
        "Other timestamps end in Z with 5 to 7 fractional digits, trailing zeros trimmed",
        (RECORDINGS, "test_a_timestamp_has_five_to_seven_digits_without_trailing_zeros_and_is_true"),
    ),
    Fact(
        "- triggerRunId: 20 digits + 9 digits + `CU` + 2-3 digits",
        (RECORDINGS, "test_a_trigger_run_id_has_its_recorded_shape_and_newer_ones_sort_first"),
    ),
    Fact(
        "Results come in no documented order",
        ("test_results_come_in_no_useful_order_but_in_the_same_one_every_time",),
    ),
    Fact(
        "- createRun: the `runId` that comes back equals the caller's `x-ms-client-request-id`",
        (RECORDINGS, "test_the_run_id_is_the_callers_request_id"),
        "An id that is used again answers its run and starts nothing; what the service does is unknown.",
    ),
    Fact(
        "isLatest flips to false on the older members",
        ("test_a_recovery_run_joins_the_group_with_the_same_parameters",),
    ),
    # Cancel
    Fact(
        "200 at once; a GET one second later says Canceling with runEnd null",
        ("test_a_cancel_answers_at_once_and_takes_its_time",),
    ),
    Fact(
        "in Canceling no new activity of that run may start",
        ("test_no_new_activity_starts_while_a_run_is_cancelled",),
    ),
    Fact(
        "`isRecursive=true` also cancels the child runs",
        (
            "test_a_recursive_cancel_reaches_children_of_every_depth_each_in_its_time",
            "test_a_cancelled_parent_leaves_its_children_running",
        ),
    ),
    Fact(
        "- Unknown run: 400 ReferencedPipelineRunNotFound",
        (RECORDINGS, "test_an_error_has_the_services_status_and_body"),
    ),
    Fact(
        "(GET of an unknown run: 404 with an empty body)",
        (RECORDINGS, "test_a_get_of_an_unknown_run_has_no_body_at_all"),
    ),
    Fact("PipelineRunNotRunning (400 [inf])", ("test_a_finished_run_cannot_be_cancelled",)),
    Fact(
        "- Trigger run: only in WaitingOnDependency; otherwise 400 BadRequest",
        (RECORDINGS, "test_a_run_not_waiting_on_a_dependency_cannot_be_cancelled"),
    ),
    Fact(
        "Running: cancel its pipeline runs, which marks the trigger run cancelled too",
        ("test_cancelling_the_pipeline_run_of_a_running_window_cancels_the_trigger_run",),
    ),
    # Rerun
    Fact(
        "- A **new** trigger run appears: new triggerRunId",
        (RECORDINGS, "test_a_rerun_is_a_new_run_in_the_same_group_and_leaves_the_old_one_alone"),
    ),
    Fact(
        "Waiting with no pipelines, or Running with a new pipeline run. The original is unchanged",
        (RECORDINGS, "test_a_rerun_waits_then_runs_then_succeeds"),
    ),
    Fact(
        "a query in the same second did **not** show it",
        ("test_a_rerun_shows_in_queries_only_when_the_lag_has_passed",),
    ),
    Fact(
        "- So a window's truth is its **latest** run",
        ("test_failed_windows_some_of_them_rerun_take_a_few_lines",),
    ),
    Fact(
        "- Only final runs of tumbling window triggers (Succeeded, Failed, Cancelled)",
        ("test_only_a_final_run_can_be_rerun", "test_an_error_has_the_services_status_and_body"),
    ),
    Fact(
        "It uses the trigger's latest published definition and evaluates its dependencies again [D]",
        (
            "test_a_rerun_uses_the_triggers_latest_definition",
            "test_a_rerun_evaluates_its_dependencies_again",
        ),
        "A stopped trigger's run can be rerun; whether it can on the service is unknown.",
    ),
    Fact(
        "- The trigger's own retries make new pipeline runs without grouping [I]",
        ("test_a_trigger_retries_with_a_new_pipeline_run_of_its_own_group",),
    ),
    # Dependencies
    Fact(
        "At most 5 per trigger",
        (
            "test_a_scenarios_trigger_depends_on_five_others_at_most",
            "test_a_trigger_that_makes_no_sense_is_refused",
        ),
    ),
    Fact(
        "on other tumbling window triggers (offset, size) or on itself (negative offset)",
        (
            "test_a_dependency_with_a_size_needs_every_window_in_it",
            "test_a_self_dependency_waits_for_the_window_before",
        ),
    ),
    Fact(
        "A run waits for them at most 7 days, then Failed",
        ("test_a_run_waits_on_its_dependencies_for_seven_days_at_most",),
    ),
    Fact(
        "A failed upstream window must be rerun successfully before its dependants run",
        ("test_a_waiting_run_goes_on_when_its_upstream_window_is_rerun_successfully",),
    ),
    Fact(
        "Each window of maxConcurrency (1-50) is taken by waiting runs as well",
        ("test_waiting_windows_take_up_the_concurrency", "test_a_trigger_that_makes_no_sense_is_refused"),
    ),
    Fact("A stuck run (WaitingOnDependency although", ("test_a_stuck_run_goes_on_only_by_cancel_and_rerun",)),
    # Limits
    Fact(
        "reads 250, refill 25/s; writes 200, refill 10/s",
        (
            "test_the_usual_buckets_are_those_of_the_generation",
            "test_the_usual_bucket_of_writes_holds_200_and_gets_10_a_second",
            "test_each_principal_has_buckets_of_its_own",
        ),
        "With a clock moved by hand calls are not limited unless the scenario says so.",
    ),
    Fact(
        "Older hourly form: 12,000 reads, 1,200 writes",
        ("test_the_usual_buckets_are_those_of_the_generation",),
        "They come back by the second, not all at once by the hour.",
    ),
    Fact(
        "Query POSTs are counted as reads; createRun, cancel, rerun, start, stop as writes [R]",
        (RECORDINGS, "test_queries_count_as_reads_and_actions_as_writes"),
    ),
    Fact(
        "429 carries `Retry-After` in seconds",
        ("test_a_throttled_write_changes_nothing_and_says_when_to_come_back",),
    ),
    Fact(
        "1,000 monitoring queries a minute per factory",
        ("test_run_queries_of_a_factory_are_limited_by_the_minute",),
    ),
    Fact(
        "10,000 concurrent pipeline runs per factory",
        (),
        "Not limited: a scenario of that size tests the emulator, not its client.",
    ),
    Fact("100 queued runs per pipeline", ("test_no_more_than_a_hundred_runs_queue",)),
    Fact(
        "a trigger start answered 504 after it had started [R]",
        (
            "test_a_processed_fault_answers_after_doing_the_work",
            "test_an_error_has_the_services_status_and_body",
        ),
    ),
)
