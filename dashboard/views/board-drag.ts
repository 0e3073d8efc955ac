/**
 * Dragging a card: by mouse after a few pixels, by touch after a moment of holding still, so that a swipe still scrolls. It moves a copy of
 * the card and tells what lies under it; what may be dropped where is the board's to say. Escape or a lost pointer ends it without a drop.
 */

export interface DragListener {
  /** A card was picked up. */
  onStart(taskId: string): void;
  /** It is over this column now; null = over none. */
  onOver(column: string | null): void;
  onDrop(taskId: string, column: string): void;
  /** It was let go elsewhere, or given up. */
  onEnd(): void;
}

const MOUSE_SLOP_PX = 5;
const TOUCH_SLOP_PX = 8;
const TOUCH_HOLD_MS = 300;
/** So close to the edge of the board it scrolls by itself. */
const EDGE_PX = 56;
const EDGE_STEP_PX = 14;

interface Pressed {
  card: HTMLElement;
  taskId: string;
  pointerId: number;
  x: number;
  y: number;
  isTouch: boolean;
  holding: ReturnType<typeof setTimeout> | undefined;
}

interface Carried {
  taskId: string;
  source: HTMLElement;
  ghost: HTMLElement;
  /** From the corner of the card to the pointer. */
  dx: number;
  dy: number;
  over: string | null;
}

/** Makes the cards inside `root` draggable until the answered function is called. */
export function makeDraggable(root: HTMLElement, listener: DragListener): () => void {
  let pressed: Pressed | null = null;
  let carried: Carried | null = null;
  let edge: number | null = null;

  function onDown(event: PointerEvent): void {
    if (event.button !== 0 || !event.isPrimary || carried) return;
    const card = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-task]') : null;
    const taskId = card?.dataset.task;
    if (!card || !taskId) return;
    const isTouch = event.pointerType !== 'mouse';
    pressed = { card, taskId, pointerId: event.pointerId, x: event.clientX, y: event.clientY, isTouch, holding: undefined };
    if (isTouch) pressed.holding = setTimeout(() => pressed && pickUp(pressed, pressed.x, pressed.y), TOUCH_HOLD_MS);
  }

  function onMove(event: PointerEvent): void {
    if (carried) {
      carry(carried, event.clientX, event.clientY);
      return;
    }
    if (!pressed || event.pointerId !== pressed.pointerId) return;
    const far = Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y);
    if (pressed.isTouch && far > TOUCH_SLOP_PX) letGo();
    else if (!pressed.isTouch && far > MOUSE_SLOP_PX) pickUp(pressed, event.clientX, event.clientY);
  }

  function pickUp({ card, taskId, x: fromX, y: fromY }: Pressed, x: number, y: number): void {
    const box = card.getBoundingClientRect();
    const ghost = card.cloneNode(true) as HTMLElement;
    ghost.classList.add('tcard--ghost');
    ghost.removeAttribute('data-task');
    ghost.removeAttribute('href');
    ghost.setAttribute('aria-hidden', 'true');
    ghost.style.width = `${box.width}px`;
    document.body.append(ghost);
    card.classList.add('tcard--source');
    carried = { taskId, source: card, ghost, dx: fromX - box.left, dy: fromY - box.top, over: null };
    document.getSelection()?.removeAllRanges();
    listener.onStart(taskId);
    carry(carried, x, y);
  }

  function carry(card: Carried, x: number, y: number): void {
    card.ghost.style.transform = `translate(${x - card.dx}px, ${y - card.dy}px)`;
    const under = document.elementFromPoint(x, y)?.closest<HTMLElement>('[data-column]')?.dataset.column ?? null;
    if (under !== card.over) {
      card.over = under;
      listener.onOver(under);
    }
    scrollAtEdge(x);
  }

  function scrollAtEdge(x: number): void {
    const box = root.getBoundingClientRect();
    const step = x < box.left + EDGE_PX ? -EDGE_STEP_PX : x > box.right - EDGE_PX ? EDGE_STEP_PX : 0;
    if (edge !== null) cancelAnimationFrame(edge);
    edge = null;
    if (step === 0) return;
    const move = () => {
      root.scrollLeft += step;
      edge = requestAnimationFrame(move);
    };
    edge = requestAnimationFrame(move);
  }

  function onUp(event: PointerEvent): void {
    if (!carried) {
      letGo();
      return;
    }
    const { taskId, over } = carried;
    carry(carried, event.clientX, event.clientY);
    letGo();
    // The click that follows a drag would open the card.
    addEventListener('click', swallow, { capture: true, once: true });
    setTimeout(() => removeEventListener('click', swallow, { capture: true }));
    if (over !== null) listener.onDrop(taskId, over);
  }

  function letGo(): void {
    clearTimeout(pressed?.holding);
    pressed = null;
    if (edge !== null) cancelAnimationFrame(edge);
    edge = null;
    if (!carried) return;
    carried.ghost.remove();
    carried.source.classList.remove('tcard--source');
    carried = null;
    listener.onEnd();
  }

  function onKey(event: KeyboardEvent): void {
    if (event.key !== 'Escape' || !carried) return;
    event.preventDefault();
    event.stopPropagation();
    letGo();
  }

  /** While a card is carried, the page does not scroll under it. */
  function onTouchMove(event: TouchEvent): void {
    if (carried && event.cancelable) event.preventDefault();
  }

  function onMenu(event: Event): void {
    if (pressed?.isTouch || carried) event.preventDefault();
  }

  root.addEventListener('pointerdown', onDown);
  root.addEventListener('dragstart', swallow);
  root.addEventListener('contextmenu', onMenu);
  document.addEventListener('pointermove', onMove);
  document.addEventListener('pointerup', onUp);
  document.addEventListener('pointercancel', letGo);
  document.addEventListener('keydown', onKey, { capture: true });
  document.addEventListener('touchmove', onTouchMove, { passive: false });
  return () => {
    letGo();
    root.removeEventListener('pointerdown', onDown);
    root.removeEventListener('dragstart', swallow);
    root.removeEventListener('contextmenu', onMenu);
    document.removeEventListener('pointermove', onMove);
    document.removeEventListener('pointerup', onUp);
    document.removeEventListener('pointercancel', letGo);
    document.removeEventListener('keydown', onKey, { capture: true });
    document.removeEventListener('touchmove', onTouchMove);
  };
}

function swallow(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}
