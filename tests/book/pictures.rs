//! Each lesson's part of its page shows a picture, and so does the README. Whether a picture is what the page shows today is
//! tested in a browser: `page::pictures`.

use std::collections::BTreeSet;
use std::fs;
use support::{PICTURES, illustrated_pages, pictures, root};

#[test]
fn each_lesson_and_the_readme_show_their_picture() {
    let pictures = pictures();
    for picture in &pictures {
        let (name, page, block) = (&picture.name, &picture.page, &picture.block);
        let text = block.strip_prefix("![").and_then(|block| block.split_once("](")).map(|(text, _)| text);
        let text = text.or_else(|| Some(block.split_once("<img alt=\"")?.1.split_once('"')?.0));
        let text = text.unwrap_or_else(|| panic!("{page}: {name}: no picture follows its mark"));
        assert!(text.starts_with("The X-ray page") && text.ends_with('.'), "{page}: {name}: {text}");
        for (file, _) in picture.files() {
            assert!(block.contains(&format!("pictures/{file}")), "{page}: {name} does not show {file}");
        }
        // Lesson 17 has no loop, and shows what a task of lesson 18 does.
        let own = name == "readme" || name == "17" || picture.lesson.starts_with(&format!("{name}_"));
        assert!(own, "{page}: {name} shows {}", picture.lesson);
    }
    let mut shown: Vec<&str> = pictures.iter().map(|picture| picture.name.as_str()).collect();
    let mut wanted = vec!["readme".to_owned()];
    for page in illustrated_pages().iter().filter(|page| *page != "README.md") {
        let text = fs::read_to_string(root().join(page)).expect("a page");
        let parts = text.split("\n## ").skip(1);
        wanted.extend(parts.map(|part| part.split(':').next().expect("a number").to_owned()));
    }
    wanted.sort();
    shown.sort_unstable();
    assert_eq!(shown, wanted, "left: the pictures; right: the parts of the pages");
}

#[test]
fn each_picture_is_a_file_and_each_file_is_shown() {
    let folder = root().join(PICTURES);
    let mut wanted: BTreeSet<String> =
        pictures().iter().flat_map(|picture| picture.files()).map(|(file, _)| file).collect();
    wanted.insert("shown.txt".to_owned());
    let mut size = 0;
    let mut found = BTreeSet::new();
    for file in fs::read_dir(&folder).expect("the pictures").flatten() {
        size += file.metadata().expect("a file").len();
        found.insert(file.file_name().into_string().expect("a name"));
    }
    assert_eq!(found, wanted, "left: the files; right: what the pages show");
    assert!(size <= 2_600_000, "the pictures have {size} bytes");
}
