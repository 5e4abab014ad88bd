//! A store on a simulated disk, beside the rows that it must hold.

use std::collections::HashMap;
use std::time::Duration;

use sessile::testing::{ManualClock, SimulatedDisk};
use sessile::{Durability, Error, Result, Session, SessionId, SessionKey, SessionOptions};

use super::opened::{Opened, Store, beginning_of_time};
use super::oracle::{Content, Row};
use super::workload::Step;

#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: SimulatedDisk,
    pub(super) durability: Durability,
    pub(super) clock: ManualClock,
    /// `None` after a failed reopening.
    pub(super) opened: Option<Opened>,
    pub(super) rows: Vec<Row>,
    pub(super) ids: HashMap<SessionKey, SessionId>,
}

/// A call, and the rows after it if it succeeded.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) step: Step,
    /// The disk's count before and after the call.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) after: Vec<Row>,
    pub(super) result: Result<()>,
}

impl World {
    pub(super) fn on(disk: SimulatedDisk, durability: Durability) -> Self {
        let clock = beginning_of_time();
        let opened = Opened::on(&disk, durability, &clock).unwrap();
        Self::with(disk, durability, clock, opened)
    }

    pub(super) fn with(
        disk: SimulatedDisk,
        durability: Durability,
        clock: ManualClock,
        opened: Opened,
    ) -> Self {
        let (rows, ids) = (Vec::new(), HashMap::new());
        Self { disk, durability, clock, opened: Some(opened), rows, ids }
    }

    /// Makes the call. If it succeeds, its effect becomes the expected rows.
    pub(super) fn call(&mut self, step: Step) -> Call {
        let nameable = |row: &&Row| row.key.is_some_and(|key| self.ids.contains_key(&key));
        let named: Vec<usize> =
            (0..self.rows.len()).filter(|at| nameable(&&self.rows[*at])).collect();
        let target = step.session().and_then(|number| {
            let len = named.len() as u64;
            number.checked_rem(len).map(|at| named[at as usize])
        });
        let began = self.disk.operations();
        let now = self.clock.millis();
        let mut after = step.after(&self.rows, target, now);
        let live_before = self.rows.iter().filter(|row| now < row.deadline()).count() as u64;
        let live_after = after.iter().filter(|row| now < row.deadline()).count() as u64;
        let result = match step.session().is_some() && target.is_none() {
            true => Ok(Answer::default()),
            false => self.make(step, target),
        };
        let ended = self.disk.operations();
        if let Ok(answer) = &result {
            if let Some(id) = &answer.new_id {
                after.iter_mut().filter(|row| row.key.is_none()).for_each(|row| {
                    if Some(row.tag) == answer.tag {
                        row.key = Some(id.key());
                    }
                });
                self.ids.insert(id.key(), id.clone());
            }
            let counted = match step {
                Step::Sweep => (self.rows.len() - after.len()) as u64,
                _ => live_before.saturating_sub(live_after),
            };
            assert_eq!(answer.count, counted, "{step:?}");
            self.rows.clone_from(&after);
        }
        Call { step, began, ended, after, result: result.map(|_| ()) }
    }

    fn make(&mut self, step: Step, target: Option<usize>) -> Result<Answer> {
        if let Step::Reopen = step {
            return self.reopen();
        }
        let Some(Opened { store, .. }) = self.opened.clone() else { return Err(Error::Closed) };
        let created = |session: Session<Content>, tag| Answer {
            new_id: Some(session.id().clone()),
            tag: Some(tag),
            count: 0,
        };
        let count = |count| Answer { count, ..Answer::default() };
        let done = |()| Answer::default();
        match step {
            Step::Create { tag } => store.create(Content::new(tag)).map(|s| created(s, tag)),
            Step::CreateForUser { user, tag } => {
                store.create_for_user(user, Content::new(tag)).map(|s| created(s, tag))
            }
            Step::CreateWith { user, tag, inactivity } => {
                let inactivity = Duration::from_millis(inactivity);
                let options = SessionOptions::new().user(user).inactivity(inactivity).csrf_token();
                store.create_with(Content::new(tag), &options).map(|s| created(s, tag))
            }
            Step::DestroyAllOf { user } => store.destroy_all_of(user).map(count),
            Step::Clear => {
                let live = self.rows.iter().filter(|row| self.clock.millis() < row.deadline());
                let live = live.count() as u64;
                store.clear().map(|()| count(live))
            }
            Step::Sweep => store.clean_up_expired().map(count),
            Step::Flush => store.flush().map(done),
            Step::Forward { by } => {
                self.clock.advance(Duration::from_millis(by));
                // Sessions that expire while waiting are reported to no caller.
                Ok(Answer::default())
            }
            _ => self.on_session(&store, step, &self.rows[target.unwrap()]),
        }
    }

    fn on_session(&self, store: &Store, step: Step, row: &Row) -> Result<Answer> {
        let id = &self.ids[&row.key.unwrap()];
        let live = self.clock.millis() < row.deadline();
        let there = |there: bool| {
            assert_eq!(there, live, "{step:?} of {row:?}");
            Answer::default()
        };
        let removed = |there: bool| {
            assert_eq!(there, live, "{step:?} of {row:?}");
            Answer { count: u64::from(there), ..Answer::default() }
        };
        match step {
            Step::Extend { .. } => return store.extend_lifetime(id).map(there),
            Step::ReadAndExtend { .. } => {
                return store.read_and_extend(id).map(|session| there(session.is_some()));
            }
            Step::Destroy { .. } => return store.destroy(id).map(removed),
            Step::DestroyKey { .. } => return store.destroy_key(&id.key()).map(removed),
            Step::Modify { tag, .. } => {
                let modified = store.modify(id, |s| *s.content_mut() = Content::new(tag));
                return modified.map(|session| there(session.is_some()));
            }
            _ => {}
        }
        let session = store.read(id)?;
        there(session.is_some());
        let Some(mut session) = session else { return Ok(Answer::default()) };
        match step {
            Step::Update { user, tag, .. } => {
                *session.content_mut() = Content::new(tag);
                session.set_user(user);
                store.update(&mut session)?;
                Ok(Answer::default())
            }
            Step::Regenerate { tag, .. } => {
                *session.content_mut() = Content::new(tag);
                store.regenerate_id(&mut session)?;
                Ok(Answer { new_id: Some(session.id().clone()), tag: Some(tag), count: 0 })
            }
            Step::DestroyOthers { .. } => {
                let count = store.destroy_others(&session)?;
                Ok(Answer { count, ..Answer::default() })
            }
            other => panic!("{other:?} names no session"),
        }
    }

    /// Closes and opens the store; a failed close is returned once the store is open again.
    fn reopen(&mut self) -> Result<Answer> {
        let closed = self.opened.take().map_or(Ok(()), |opened| opened.store.close());
        self.opened = Some(Opened::on(&self.disk, self.durability, &self.clock)?);
        closed.map(|()| Answer::default())
    }
}

#[derive(Debug, Default)]
struct Answer {
    new_id: Option<SessionId>,
    tag: Option<u32>,
    /// The reported number of removed sessions.
    count: u64,
}
