//! Statements with their values as requests: one text for all of them, or on a cluster a text each.
//!
//! Invariant: after an error, no later statement of a transaction is carried out.

use crate::engine::network::backend::Attempt;
use crate::engine::network::failure::Failure;
use crate::engine::sql::Sql;
use crate::engine::sql::mysql::answer::{Answer, Refusal};
use crate::engine::sql::mysql::statements::Text;
use crate::engine::sql::mysql::value::write_statement;
use crate::engine::sql::mysql::wire::MysqlConnection;
use crate::engine::sql::mysql::{Mysql, Step};
use crate::engine::sql::value::Value;
use crate::error::Error;

/// Sends statements, and reads the outcome of each.
pub(super) fn send(
    sql: &Sql<Mysql>,
    on: &mut MysqlConnection,
    steps: &[Step<'_>],
) -> Attempt<Answer> {
    if on.is_clustered() && steps.len() > 1 {
        return send_each(sql, on, steps);
    }
    let mut text = String::new();
    if let [(Text::OfUser | Text::Users | Text::Page | Text::CountLive, _)] = steps {
        text.push_str(&sql.dialect.read_limit);
    }
    for (at, (statement, values)) in steps.iter().enumerate() {
        if at > 0 {
            text.push(';');
        }
        write_statement(sql.text(*statement)?, values, &mut text);
    }
    match on.query(&text)? {
        Err(refusal) if refusal.code == Refusal::PACKET_TOO_LARGE => {
            Err(too_long(sql, on, steps, text.len(), &refusal))
        }
        answer => Ok(answer),
    }
}

/// Sends each statement when the one before it has succeeded. If a node of a Galera cluster undoes
/// a transaction in the middle of one text, it carries out the rest of the text all the same, each
/// statement by itself, and may report no error.
fn send_each(sql: &Sql<Mysql>, on: &mut MysqlConnection, steps: &[Step<'_>]) -> Attempt<Answer> {
    let mut outcomes = Vec::new();
    for (statement, values) in steps {
        let mut text = String::new();
        write_statement(sql.text(*statement)?, values, &mut text);
        match on.step(&text, *statement == Text::Commit)? {
            Ok(done) => outcomes.extend(done),
            Err(refusal) if refusal.code == Refusal::PACKET_TOO_LARGE => {
                return Err(too_long(sql, on, steps, text.len(), &refusal));
            }
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(outcomes))
}

fn too_long(
    sql: &Sql<Mysql>,
    on: &MysqlConnection,
    steps: &[Step<'_>],
    request: usize,
    refusal: &Refusal,
) -> Failure {
    too_large(steps, request, on.longest_request())
        .map_or_else(|| sql.refused(refusal), Failure::from)
}

/// The error for a request that is longer than the server takes: its longest value is a record, and
/// has two digits for each byte. `None` if it would be too long without the record, too.
fn too_large(steps: &[Step<'_>], request: usize, most: usize) -> Option<Error> {
    let values = steps.iter().flat_map(|(_, values)| values.iter());
    let len = values.map(|value| if let Value::Bytes(bytes) = value { bytes.len() } else { 0 });
    let len = len.max().unwrap_or(0);
    let others = request.saturating_sub(len * 2);
    // The command itself takes a byte.
    let max = most.checked_sub(others + 1)? / 2;
    Some(Error::TooLarge { len, max })
}
