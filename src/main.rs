//! The `keytrail` binary; see `keytrail::cli`.

fn main() -> keytrail::cli::Exit {
    keytrail::cli::run()
}
