//! All calls on a store, and the effect of each on the rows.

use super::Choices;
use super::oracle::{INACTIVITY, Millis, Row};

/// Sessions are named by a number, taken modulo their count; each tag is new.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Create { tag: u32 },
    CreateForUser { user: u8, tag: u32 },
    CreateWith { user: u8, tag: u32, inactivity: Millis },
    Update { session: u64, user: u8, tag: u32 },
    Modify { session: u64, tag: u32 },
    Regenerate { session: u64, tag: u32 },
    Extend { session: u64 },
    ReadAndExtend { session: u64 },
    Destroy { session: u64 },
    DestroyKey { session: u64 },
    DestroyOthers { session: u64 },
    DestroyAllOf { user: u8 },
    Clear,
    Sweep,
    Flush,
    Forward { by: Millis },
    Reopen,
}

const USERS: u64 = 3;

impl Step {
    /// Any step, some more often than others.
    pub(super) fn any(choices: &mut Choices, tag: u32) -> Self {
        match choices.below(40) {
            33 => Self::DestroyAllOf { user: choices.below(USERS) as u8 },
            34 => Self::Clear,
            35 | 36 => Self::Sweep,
            37 => Self::Forward { by: choices.below(4) * 200 },
            38 => Self::Forward { by: 900 },
            39 => Self::Reopen,
            _ => Self::of_one_thread(choices, tag, 0),
        }
    }

    /// A step that does not change the sessions of other threads.
    pub(super) fn of_one_thread(choices: &mut Choices, tag: u32, first_user: u8) -> Self {
        let session = choices.next();
        let user = first_user + choices.below(USERS) as u8;
        match choices.below(33) {
            0..3 => Self::Create { tag },
            3..8 => Self::CreateForUser { user, tag },
            8..11 => Self::CreateWith { user, tag, inactivity: 300 },
            11..15 => Self::Update { session, user, tag },
            15..18 => Self::Modify { session, tag },
            18..21 => Self::Regenerate { session, tag },
            21..24 => Self::Extend { session },
            24..26 => Self::ReadAndExtend { session },
            26..28 => Self::Destroy { session },
            28 => Self::DestroyKey { session },
            29 => Self::DestroyOthers { session },
            _ => Self::Flush,
        }
    }

    pub(super) fn session(&self) -> Option<u64> {
        match *self {
            Self::Update { session, .. }
            | Self::Modify { session, .. }
            | Self::Regenerate { session, .. }
            | Self::Extend { session }
            | Self::ReadAndExtend { session }
            | Self::Destroy { session }
            | Self::DestroyKey { session }
            | Self::DestroyOthers { session } => Some(session),
            _ => None,
        }
    }

    /// Whether all earlier acknowledged changes are on the disk once the step returns.
    pub(super) fn flushes(&self) -> bool {
        matches!(self, Self::Flush | Self::Reopen)
    }

    /// The rows after the step, on the session at `target`; a new key is not known yet.
    pub(super) fn after(&self, rows: &[Row], target: Option<usize>, now: Millis) -> Vec<Row> {
        let mut rows = rows.to_vec();
        let live = target.filter(|at| now < rows[*at].deadline());
        let created = |tag, user, inactivity| Row {
            key: None,
            user,
            tag,
            created_at: now,
            last_active: now,
            durable_touch: now,
            inactivity,
        };
        match *self {
            Self::Create { tag } => rows.push(created(tag, None, INACTIVITY)),
            Self::CreateForUser { user, tag } => rows.push(created(tag, Some(user), INACTIVITY)),
            Self::CreateWith { user, tag, inactivity } => {
                rows.push(created(tag, Some(user), inactivity));
            }
            Self::Update { tag, .. } | Self::Modify { tag, .. } | Self::Regenerate { tag, .. } => {
                if let Some(row) = live.map(|at| &mut rows[at]) {
                    row.tag = tag;
                    row.last_active = row.last_active.max(now);
                    row.durable_touch = row.last_active;
                    match *self {
                        Self::Update { user, .. } => row.user = Some(user),
                        Self::Regenerate { .. } => row.key = None,
                        _ => {}
                    }
                }
            }
            Self::Extend { .. } | Self::ReadAndExtend { .. } => {
                if let Some(row) = live.map(|at| &mut rows[at]) {
                    row.last_active = row.last_active.max(now);
                }
            }
            Self::Destroy { .. } | Self::DestroyKey { .. } => {
                if let Some(at) = target {
                    rows.remove(at);
                }
            }
            Self::DestroyOthers { .. } => {
                if let Some(kept) = live.map(|at| rows[at].clone()).filter(|row| row.user.is_some())
                {
                    rows.retain(|row| row.user != kept.user || row.tag == kept.tag);
                }
            }
            Self::DestroyAllOf { user } => rows.retain(|row| row.user != Some(user)),
            Self::Clear => rows.clear(),
            Self::Sweep => rows.retain(|row| now < row.deadline()),
            Self::Flush | Self::Reopen => {
                for row in &mut rows {
                    row.durable_touch = row.last_active;
                }
            }
            Self::Forward { .. } => {}
        }
        rows
    }
}
