use std::path::Path;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use datafusion::logical_expr::Operator;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::collect;

use super::*;

/// Files of a thousand rows: `number` goes on from file to file, `long` is long, `word` says
/// whether the number is even.
fn files(folder: &Path, count: i64) -> (SchemaRef, Vec<SmallFile>) {
    let write = |file: i64| {
        let numbers = || file * 1000..(file + 1) * 1000;
        let word = |number: i64| if number % 2 == 0 { "even" } else { "odd" };
        let columns: [(&str, ArrayRef); 3] = [
            ("number", Arc::new(Int64Array::from_iter_values(numbers()))),
            (
                "long",
                Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("{n:0>200}")))),
            ),
            ("word", Arc::new(StringArray::from_iter_values(numbers().map(word)))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = folder.join(format!("{file}.parquet"));
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let opened = File::open(&path).unwrap();
        let footer = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()).unwrap();
        SmallFile { path, footer }
    };
    let files: Vec<SmallFile> = (0..count).map(write).collect();
    (Arc::clone(files[0].footer.schema()), files)
}

async fn read(plan: SmallFiles) -> Result<Vec<RecordBatch>> {
    collect(Arc::new(plan), Arc::new(TaskContext::default())).await
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn columns_come_in_the_order_asked_for_and_rows_joined() {
    let folder = tempfile::tempdir().unwrap();
    let (schema, files) = files(folder.path(), 20);
    let odd = binary(col("word", &schema).unwrap(), Operator::Eq, lit("odd"), &schema).unwrap();
    let groups = vec![files[..7].to_vec(), files[7..].to_vec()];
    let plan = SmallFiles::new(groups, &schema, Some(&vec![2, 0]), Some(odd)).unwrap();
    let batches = read(plan).await.unwrap();
    assert_eq!((rows(&batches), batches.len()), (10_000, 2));
    let names: Vec<String> =
        batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["word", "number"]);
    let sum: i64 = batches
        .iter()
        .flat_map(|batch| {
            batch.column(1).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        })
        .sum();
    assert_eq!(sum, (0..20_000).filter(|number| number % 2 == 1).sum::<i64>());
}

#[tokio::test]
async fn rows_are_counted_without_columns_and_no_more_files_are_read_than_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let (schema, files) = files(folder.path(), 5);
    std::fs::remove_file(&files[3].path).unwrap();
    let none = vec![];
    let plan = |files: &[SmallFile]| {
        SmallFiles::new(vec![files.to_vec()], &schema, Some(&none), None).unwrap()
    };
    assert_eq!(rows(&read(plan(&files[..3])).await.unwrap()), 3000);
    assert_eq!(rows(&read(plan(&files).with_limit(Some(2500))).await.unwrap()), 3000);
    let error = read(plan(&files)).await.unwrap_err().to_string();
    assert!(error.contains("3.parquet"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let (schema, files) = files(folder.path(), 2);
    File::options().write(true).open(&files[1].path).unwrap().set_len(300).unwrap();
    let plan = SmallFiles::new(vec![files], &schema, None, None).unwrap();
    let error = read(plan).await.unwrap_err().to_string();
    assert!(error.contains("1.parquet"), "{error}");
}

#[test]
fn looking_for_matches_ends_where_nearly_every_row_is_one() {
    let pays = |tried, matched| Tally { tried, matched, left: 1 }.pays();
    assert!(pays(1000, 1000) && pays(100_000, 2000));
    assert!(!pays(10_000, 9000));
}

#[test]
fn what_lies_close_is_read_at_once_and_nothing_is_made_up() {
    let folder = tempfile::tempdir().unwrap();
    let (_, files) = files(folder.path(), 1);
    let schema = files[0].footer.parquet_schema();
    let held = Held::read(&files[0], &ProjectionMask::roots(schema, [0, 2])).unwrap();
    assert_eq!(held.parts.len(), 2, "the long column between them is not read");
    let bytes = std::fs::read(&files[0].path).unwrap();
    assert_eq!(held.length, u64::try_from(bytes.len()).unwrap());
    for (start, part) in &held.parts {
        let at = usize::try_from(*start).unwrap();
        assert_eq!(part, &bytes[at..at + part.len()]);
        assert_eq!(held.get_bytes(start + 1, 9).unwrap(), &bytes[at + 1..at + 10]);
        let beyond = start + u64::try_from(part.len()).unwrap();
        assert!(held.get_bytes(beyond - 1, 2).is_err());
    }
    assert!(held.get_bytes(0, 2).is_err());
}
