//! Run files with the lines of a refusal in them.

use plimsoll::config::Config;

/// What a run file says, with the lines of a refusal pasted over it.
pub(crate) fn pasted(config: &Config, lines: &[String]) -> Config {
    let mut file: toml::Table = config.to_toml().parse().unwrap();
    let mut table = String::new();
    for line in lines {
        match line.strip_prefix('[') {
            Some(head) => table = head.trim_end_matches(']').to_string(),
            None => {
                let key: toml::Table = line.parse().unwrap();
                let table = file.entry(&table).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap();
                table.extend(key);
                line.strip_prefix("# without ").and_then(|gone| table.remove(gone));
            }
        }
    }
    Config::from_toml(&toml::to_string(&file).unwrap(), "pasted.toml").unwrap_or_else(|e| panic!("{e}\n{lines:?}"))
}
