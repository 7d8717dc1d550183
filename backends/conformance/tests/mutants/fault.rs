/// What a mutant does wrong. Each is a mistake that a real backend could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the reference itself.
    None,

    // What it says of itself.
    InfoDiffers,
    UsesMoreThanItsLimit,

    // Reads.
    AgeCountsFromTheTouch,
    DropsDuplicateKeys,
    EmptyIsMiss,
    EmptyCallsFail,
    GetManyForgetsLeft,
    GetManySorts,
    IgnoresCase,
    IgnoresPunctuation,
    LeftIsOverstated,
    MissIsAnEmptyEntry,
    ReadyAlwaysMisses,
    TakesTextOnly,

    // Conditions.
    ChecksThenActs,
    DeleteNeedsAnEntry,
    IgnoresAbsent,
    IgnoresPresent,
    IgnoresVersion,
    KeepsTheFirstValue,
    PutNeverOverwrites,
    RefusesEmptyHanded,
    TouchIgnoresCondition,

    // Versions.
    RefusalBumpsVersion,
    TouchBumpsVersion,
    VersionsAreCoarse,
    VersionsRestartWithTheEntry,
    WrittenRunsAhead,

    // Time to live.
    CapsTtlAt30Days,
    DeadlineSurvivesDelete,
    DefaultsToAYear,
    PutKeepsDeadline,
    RoundsTtlDownToSeconds,
    ServesLate,
    SweepsTheLiving,
    TouchIsIgnored,
    TouchRevives,

    // Limits.
    JudgesConditionFirst,
    RefusesTheLongestBatch,
    RefusesTheLongestValue,
    TakesLongBatches,
    TakesLongValues,
    TooLargeStillDeletes,
    TruncatesKeys,

    // Batches.
    AnswersReversed,
    BatchReversed,
    BatchStopsAtRefusal,
    OneTooLargeFailsAll,

    // Transactions.
    AppliesHalfOfARefusedOne,
    BlamesTheFirst,
    ForgetsAfterTheFourth,
    GroupsMix,
    NeedsOneGroup,
    SnapshotIsTorn,
    SpreadsGroups,
    TakesAKeyTwice,
    TransactsAnyway,

    // Scans.
    CursorIsAnOffset,
    DropsKeysAtPageEnds,
    IgnoresThePageLimit,
    ListsAMarker,
    ListsTheExpired,
    PrefixIsNoSegment,
    ScansAnyway,
    TakesAnyCursor,

    // Cancellation.
    AnswersTheNextCall,
    BatchIsMadeBackwards,
    BreaksWhenDropped,
    LosesADroppedWrite,
    TransactsHalfWhenDropped,

    // Closing.
    AnswersAfterClose,
    CloseFailsTheSecondTime,
    ReadyAfterClose,
    WritesAfterClose,

    // Durability.
    ClockSetBackRevives,
    DeletedComeBack,
    ForgetsDeadlines,
    LosesAllAtClose,
    RestartsVersions,

    // What cannot be read.
    ClearsWhatItCannotRead,
    TakesEmptyForAbsent,
    UnreadableIsMiss,

    // Leaks.
    DebugShowsTheValue,
    ErrorShowsTheKey,
    LogsTheValue,

    // What no other case looks for.
    SpoilsOneLength,
}
