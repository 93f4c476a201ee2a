//! What people declare: who is behind which identity (`people.csv`) and who approved what
//! (`approvals.csv`). Verdicts that rest on them are graded D.
//!
//! Every error names file and line. E-mails of persons are case-folded; identities stay as they
//! stand in logs.

use datafusion::arrow::array::RecordBatch;
use serde_json::{Map, Value};

use crate::event::Provider;
use crate::event::schema;

use super::error::{FileProblem, RuleError};
use super::functions::case_fold;
use super::rows;

/// A list that people keep.
struct List {
    /// The table that it fills.
    table: &'static str,
    /// Columns that must be there and filled; the others may be empty or absent.
    required: &'static [&'static str],
    /// Columns with persons in them.
    persons: &'static [&'static str],
    /// Columns that hold one of a few words.
    words: &'static [(&'static str, &'static [&'static str])],
}

const PEOPLE: List = List {
    table: "people",
    required: &["person", "identity", "kind"],
    persons: &["person"],
    words: &[("kind", &["human", "automation"])],
};

const APPROVALS: List = List {
    table: "approvals",
    required: &["approval_id", "kind", "approver", "approved_at", "scope", "action"],
    persons: &["requester", "approver"],
    words: &[("kind", &["ticket", "pim", "pam", "quorum_record"])],
};

/// Reads `people.csv`: columns `person`, `provider`, `account`, `identity`, `kind`; `provider` and
/// `account` may be empty, which stands for any.
pub fn read_people(file: &str, text: &str) -> Result<RecordBatch, RuleError> {
    read(&PEOPLE, file, text)
}

/// Reads `approvals.csv`: columns `approval_id`, `kind`, `requester`, `approver`, `approved_at`,
/// `valid_until`, `scope`, `action`, `reference`; `requester`, `valid_until` and `reference` may be
/// empty.
pub fn read_approvals(file: &str, text: &str) -> Result<RecordBatch, RuleError> {
    read(&APPROVALS, file, text)
}

fn read(list: &List, file: &str, text: &str) -> Result<RecordBatch, RuleError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut problems = Vec::new();
    let mut add = |line: u64, problem: String| {
        problems.push(FileProblem {
            file: file.to_owned(),
            line: usize::try_from(line).ok(),
            problem,
            remedy: "correct the line".to_owned(),
        });
    };
    let Some(schema) = schema::table(list.table) else { return Err(RuleError::Files(problems)) };
    let empty = RecordBatch::new_empty(std::sync::Arc::clone(&schema));
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            add(1, error.to_string());
            return Err(RuleError::Files(problems));
        }
    };
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    for problem in list.header_problems(&header, &columns) {
        add(1, problem);
    }
    let mut read = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                add(line, error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(1, csv::Position::line);
        match list.row(&header, &record) {
            Ok(row) => match rows::batch(&schema, std::slice::from_ref(&row)) {
                Ok(_) => read.push(row),
                Err(problem) => add(line, problem),
            },
            Err(found) => found.into_iter().for_each(|problem| add(line, problem)),
        }
    }
    if !problems.is_empty() {
        return Err(RuleError::Files(problems));
    }
    // Each row was tried on its own above, so that the batch of all cannot fail.
    Ok(rows::batch(&schema, &read).unwrap_or(empty))
}

impl List {
    fn header_problems(&self, header: &csv::StringRecord, columns: &[&str]) -> Vec<String> {
        let unknown = header.iter().filter(|name| !columns.contains(name)).map(|name| {
            format!("there is no column `{name}`; the columns are {}", columns.join(", "))
        });
        let missing = self
            .required
            .iter()
            .filter(|name| !header.iter().any(|given| given == **name))
            .map(|name| format!("the column `{name}` is missing"));
        let repeated = header
            .iter()
            .enumerate()
            .filter(|(index, name)| header.iter().take(*index).any(|other| other == *name))
            .map(|(_, name)| format!("the column `{name}` stands there twice"));
        unknown.chain(missing).chain(repeated).collect()
    }

    fn row(
        &self,
        header: &csv::StringRecord,
        record: &csv::StringRecord,
    ) -> Result<Map<String, Value>, Vec<String>> {
        let mut row = Map::new();
        let mut problems = Vec::new();
        for (name, text) in header.iter().zip(record).filter(|(_, text)| !text.is_empty()) {
            let person = self.persons.contains(&name) && text.contains('@');
            let text = if person { case_fold(text) } else { text.to_owned() };
            if let Some((_, words)) = self.words.iter().find(|(column, _)| *column == name)
                && !words.contains(&text.as_str())
            {
                problems.push(format!("`{name}` is `{text}`; it must be {}", words.join(" or ")));
            }
            if name == "provider" && Provider::parse(&text).is_none() {
                problems.push(format!("`{text}` is no provider"));
            }
            row.insert(name.to_owned(), Value::String(text));
        }
        let missing = self.required.iter().filter(|name| !row.contains_key(**name));
        problems.extend(missing.map(|name| format!("`{name}` is empty")));
        let time = |name: &str| row.get(name)?.as_str().and_then(rows::read_time);
        if let (Some(from), Some(to)) = (time("approved_at"), time("valid_until"))
            && to <= from
        {
            problems.push("`valid_until` is not after `approved_at`".to_owned());
        }
        if problems.is_empty() { Ok(row) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::json::to_json;

    fn problems(read: Result<RecordBatch, RuleError>) -> Vec<FileProblem> {
        match read {
            Err(RuleError::Files(problems)) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn people_are_read_and_their_e_mails_case_folded() {
        let text = "\u{feff}person,provider,account,identity,kind\n\
                    Jo@Example.ORG,aws,,AROA1:Jo@Example.ORG,human\n\
                    pipeline,,,deploy@project.iam,automation\n";
        let rows = to_json(&read_people("people.csv", text).unwrap());
        assert_eq!(rows[0]["person"], "jo@example.org");
        assert_eq!(rows[0]["identity"], "AROA1:Jo@Example.ORG");
        assert_eq!(rows[0]["account"], Value::Null);
        assert_eq!(rows[1]["provider"], Value::Null);
        assert_eq!(read_people("p", "person,identity,kind\n").unwrap().num_rows(), 0);
    }

    #[test]
    fn approvals_are_read_with_their_times() {
        let text = "approval_id,kind,requester,approver,approved_at,valid_until,scope,action,\
                    reference\n\
                    A-1,ticket,Jo@x.org,Sam@x.org,2026-01-01T10:00:00+02:00,2026-01-02,*,key.*,T-1\n";
        let rows = to_json(&read_approvals("a.csv", text).unwrap());
        assert_eq!(rows[0]["approved_at"], "2026-01-01T08:00:00Z");
        assert_eq!(rows[0]["approver"], "sam@x.org");
    }

    #[test]
    fn every_bad_line_is_named() {
        let found = problems(read_people(
            "people.csv",
            "person,identity,kind,provider\n\
             a@x.org,i,person,aws\n\
             ,i,human,aws\n\
             a@x.org,i,human,oracle\n\
             a@x.org,i\n",
        ));
        let lines: Vec<_> = found.iter().map(|problem| problem.line.unwrap()).collect();
        assert_eq!(lines, [2, 3, 4, 5], "{found:#?}");
        let found = problems(read_people("p", "person,kind,e-mail,kind\n"));
        assert_eq!(found.len(), 3, "{found:#?}");
        let found = problems(read_approvals(
            "a.csv",
            "approval_id,kind,approver,approved_at,valid_until,scope,action\n\
             1,ticket,s,yesterday,,*,*\n\
             2,ticket,s,2026-01-02,2026-01-01,*,*\n",
        ));
        assert_eq!(found.len(), 2, "{found:#?}");
    }
}
