//! The book's pages as HTML: as much of Markdown as they use.
//!
//! Paragraphs, headings, lists of one level, tables, code, `**strong**`, `*em*`, and links. Comments and pictures are left
//! out, since the lab has the X-ray page itself, and `<details>` passes. Every other character of a page is text: nothing of a page becomes an element by itself. A link
//! inside the book leads to its place in the lab; one to another file is shown as the file's name.

/// Returns a page, or a part of one, as HTML.
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let kind = kind.split(',').next().unwrap_or_default();
            out += &format!(
                "<pre tabindex=\"0\" class=\"lang-{}\"><code>{}</code></pre>\n",
                escape(kind),
                escape(&code.join("\n"))
            );
        } else if let Some(title) =
            line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))
        {
            let level = (line.len() - title.len() - 1).clamp(2, 6);
            out += &format!("<h{level}>{}</h{level}>\n", inline(title));
        } else if line.starts_with("<details><summary>") || line == "</details>" {
            let summary =
                line.strip_prefix("<details><summary>").and_then(|line| line.strip_suffix("</summary>"));
            out += &summary
                .map_or(line.to_owned(), |words| format!("<details><summary>{}</summary>", inline(words)));
            out.push('\n');
        } else if line.starts_with("<!--") {
            let mut end = line;
            while !end.contains("-->") {
                let Some(next) = lines.next() else { break };
                end = next;
            }
        } else if line.starts_with("![") {
            // A picture.
        } else if line.starts_with('|') {
            let mut rows = vec![line];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(row);
            }
            out += &table(&rows);
        } else if let Some(item) = item(line) {
            let tag = if line.starts_with(['-', '*']) { "ul" } else { "ol" };
            let mut items = vec![item.to_owned()];
            while let Some(line) = lines.next_if(|line| self::item(line).is_some() || line.starts_with("  "))
            {
                match self::item(line) {
                    Some(item) => items.push(item.to_owned()),
                    None => *items.last_mut().expect("there is a first one") += &format!(" {}", line.trim()),
                }
            }
            let items: String = items.iter().map(|item| format!("<li>{}</li>\n", inline(item))).collect();
            out += &format!("<{tag}>\n{items}</{tag}>\n");
        } else if !line.trim().is_empty() {
            let mut paragraph = line.to_owned();
            let ends =
                |line: &str| line.trim().is_empty() || line.starts_with("```") || line.starts_with("<!--");
            while let Some(line) = lines.next_if(|line| !ends(line) && item(line).is_none()) {
                paragraph += "\n";
                paragraph += line;
            }
            out += &format!("<p>{}</p>\n", inline(&paragraph));
        }
    }
    out
}

/// Returns the text of a list's item.
fn item(line: &str) -> Option<&str> {
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = number.strip_prefix(". ").filter(|_| number.len() < line.len());
    line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).or(numbered)
}

fn table(rows: &[&str]) -> String {
    let cells = |row: &str, tag: &str| -> String {
        let row = row.trim_matches('|');
        let cells = row.split('|').map(|cell| format!("<{tag}>{}</{tag}>", inline(cell.trim())));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let head = cells(rows[0], "th");
    let body: String = rows.iter().skip(2).map(|row| cells(row, "td")).collect();
    format!("<div class=\"wide\"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>\n")
}

/// Returns a paragraph's text with its code, its stress and its links.
fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        out += &escape(&rest[..at]);
        let (after, element) = element(&rest[at..]);
        out += &element;
        rest = after;
    }
    out + &escape(rest)
}

/// Returns the element at the beginning of a text, and what comes after it.
fn element(text: &str) -> (&str, String) {
    let between = |mark: &str| {
        let (inner, after) = text.strip_prefix(mark)?.split_once(mark)?;
        (!inner.is_empty()).then_some((inner, after))
    };
    if let Some((code, after)) = between("`") {
        return (after, format!("<code>{}</code>", escape(code)));
    }
    if let Some((strong, after)) = between("**") {
        return (after, format!("<strong>{}</strong>", inline(strong)));
    }
    if let Some((em, after)) = between("*").filter(|(em, _)| !em.starts_with([' ', '*'])) {
        return (after, format!("<em>{}</em>", inline(em)));
    }
    let link = text.strip_prefix('[').and_then(|rest| rest.split_once("]("));
    if let Some((words, (target, after))) =
        link.and_then(|(words, rest)| Some((words, rest.split_once(')')?)))
        && !words.contains(']')
    {
        return (after, anchor(words, target));
    }
    let first = text.chars().next().map_or(0, char::len_utf8);
    (&text[first..], escape(&text[..first]))
}

fn anchor(words: &str, target: &str) -> String {
    let (path, part) = target.split_once('#').unwrap_or((target, ""));
    let file = path.rsplit('/').next().unwrap_or(path);
    let number: String = file.chars().take_while(char::is_ascii_digit).collect();
    let in_part: String = part.chars().take_while(char::is_ascii_digit).collect();
    let words = inline(words);
    match () {
        () if in_part.len() == 2 => format!("<a href=\"#/lesson/{in_part}/story\">{words}</a>"),
        () if number.len() == 2 && file.ends_with(".md") => {
            format!("<a href=\"#/chapter/{number}\">{words}</a>")
        }
        () => format!("<span title=\"{}\">{words}</span>", escape(path)),
    }
}

/// Returns a text in which no character means anything to HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
