/**
 * What a call would change in files, read from its arguments for the person who decides: the lines that go and those that come. Pure, and
 * for the eye only: the policy's own reading judges, this one shows. What it does not know stays under "Arguments", where everything stands.
 */
import { diffLines } from 'diff';
import { firstText, type ReadCall } from './message-text.ts';

/** One line of a change: in both, only before, only after, or a gap between two places. */
export interface ChangedLine {
  kind: 'same' | 'gone' | 'came' | 'gap';
  text: string;
}

export interface FileChange {
  /** As the call names it; null where it names none. */
  path: string | null;
  action: 'write' | 'edit' | 'add' | 'delete' | 'move';
  lines: readonly ChangedLine[];
  /** Where a patch moves the file to. */
  movedTo: string | null;
  /** What stands in the file now is not known from the call. */
  oldUnknown: boolean;
  /** The edit replaces every place where the old text stands. */
  everywhere: boolean;
}

/** The files that a call would write, in the order it names them; empty for calls that write none that can be read from the arguments. */
export function changesOf({ tool, mappedTool, arguments: args }: ReadCall): FileChange[] {
  if (args === null || (mappedTool !== 'write_file' && mappedTool !== 'create_doc')) return [];
  const patch = firstText(args, PATCH_KEYS);
  if (patch !== null && /^\s*\*\*\* (Begin Patch|Add File|Update File|Delete File)/m.test(patch)) return patchedFiles(patch);
  const path = firstText(args, PATH_KEYS);
  const edits = editsOf(args);
  if (edits.length > 0) return edits.map((edit) => ({ ...edit, path: edit.path ?? path }));
  const content = firstText(args, CONTENT_KEYS);
  if (content === null || tool === null) return [];
  const before = firstText(args, BEFORE_KEYS);
  return [
    {
      path,
      action: 'write',
      lines: before === null ? linesOf(content, 'came') : compareLines(before, content),
      movedTo: null,
      oldUnknown: before === null,
      everywhere: false,
    },
  ];
}

/** Lines that came and went, e.g. for "+6 −2". */
export function sizeOf(change: FileChange): { came: number; gone: number } {
  const count = (kind: ChangedLine['kind']) => change.lines.filter((line) => line.kind === kind).length;
  return { came: count('came'), gone: count('gone') };
}

const PATH_KEYS = ['path', 'file_path', 'filePath', 'file', 'filename', 'name'] as const;
const PATCH_KEYS = ['input', 'patch'] as const;
const CONTENT_KEYS = ['content', 'contents', 'file_text', 'text', 'data', 'body'] as const;
/** What a caller that knows the old content calls it. */
const BEFORE_KEYS = ['originalContent', 'original_content', 'oldContent', 'old_content', 'previousContent'] as const;
const EDIT_KEYS = [
  ['oldText', 'newText'],
  ['old_string', 'new_string'],
  ['oldString', 'newString'],
  ['old_str', 'new_str'],
] as const;
const EVERYWHERE_KEYS = ['replaceAll', 'replace_all'] as const;

function editsOf(args: Record<string, unknown>): FileChange[] {
  const list = Array.isArray(args.edits) ? args.edits : [args];
  return list.flatMap((edit) => (isRecord(edit) ? editOf(edit) : []));
}

function editOf(edit: Record<string, unknown>): FileChange[] {
  const keys = EDIT_KEYS.find(([before, after]) => typeof edit[before] === 'string' && typeof edit[after] === 'string');
  if (!keys) return [];
  const [before, after] = keys.map((key) => String(edit[key]));
  return [
    {
      path: firstText(edit, PATH_KEYS),
      action: 'edit',
      lines: compareLines(before ?? '', after ?? ''),
      movedTo: null,
      oldUnknown: false,
      everywhere: EVERYWHERE_KEYS.some((key) => edit[key] === true),
    },
  ];
}

const HEADERS = /^\*\*\* (Add|Delete|Update) File: ?(.*)$/;
const MOVE = /^\*\*\* Move to: ?(.*)$/;

/** A patch as OpenClaw's apply_patch takes it. Lines before the first header, and the markers of begin and end, belong to no file. */
function patchedFiles(patch: string): FileChange[] {
  const files: (FileChange & { lines: ChangedLine[] })[] = [];
  for (const line of patch.split('\n')) {
    const header = HEADERS.exec(line.trim());
    const file = files.at(-1);
    if (header) files.push({ ...NO_CHANGE, path: header[2] ?? '', action: ACTIONS[header[1] ?? ''] ?? 'edit', lines: [] });
    else if (!file) continue;
    else if (MOVE.test(line.trim())) Object.assign(file, { action: 'move', movedTo: MOVE.exec(line.trim())?.[1] ?? '' });
    else if (line.startsWith('+')) file.lines.push({ kind: 'came', text: line.slice(1) });
    else if (line.startsWith('-')) file.lines.push({ kind: 'gone', text: line.slice(1) });
    else if (line.startsWith('@@')) file.lines.push({ kind: 'gap', text: line.slice(2).trim() });
    else if (!/^\*\*\* (Begin|End) Patch$/.test(line.trim())) file.lines.push({ kind: 'same', text: line.replace(/^ /, '') });
  }
  return files.map((file) => ({ ...file, lines: withoutLastBlank(file.lines), oldUnknown: file.action === 'delete' }));
}

const ACTIONS: Record<string, FileChange['action']> = { Add: 'add', Delete: 'delete', Update: 'edit' };
const NO_CHANGE = { path: null, movedTo: null, oldUnknown: false, everywhere: false } as const;

function withoutLastBlank(lines: ChangedLine[]): ChangedLine[] {
  const last = lines.at(-1);
  return last?.kind === 'same' && last.text === '' ? lines.slice(0, -1) : lines;
}

/** More text than this is shown whole, before and after, without looking for what stayed. */
const MAX_COMPARED = 40_000;

function compareLines(before: string, after: string): ChangedLine[] {
  if (before.length + after.length > MAX_COMPARED) return [...linesOf(before, 'gone'), ...linesOf(after, 'came')];
  return diffLines(before, after, { ignoreNewlineAtEof: true }).flatMap(({ added, removed, value }) =>
    linesOf(value.replace(/\n$/, ''), added ? 'came' : removed ? 'gone' : 'same', value === ''),
  );
}

function linesOf(text: string, kind: ChangedLine['kind'], none = text === ''): ChangedLine[] {
  return none
    ? []
    : text
        .replace(/\n$/, '')
        .split('\n')
        .map((line) => ({ kind, text: line }));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
