// The newest picture of a camera, and its heat map over it: asked for one after the other, and not while nobody looks.

const HEAT_KEY = "streamwatch-heat";

export class LivePicture {
  constructor(root, camera, { width, everyMs, heat = true }) {
    this.image = root.querySelector(".picture");
    this.heat = heat ? root.querySelector(".heat") : null;
    this.base = `/api/v1/cameras/${encodeURIComponent(camera)}`;
    this.width = width;
    this.everyMs = everyMs;
    this.visible = true;
    this.ended = false;
    this.opacity = 0;
    this.loop();
  }

  async loop() {
    while (!this.ended) {
      let pause = this.everyMs;
      if (this.visible && !document.hidden) {
        const shown = await this.show(this.image, `${this.base}/picture?width=${this.width}`);
        if (this.heat && this.opacity > 0) await this.show(this.heat, `${this.base}/heat`);
        if (!shown) pause = Math.max(pause, 2000);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async show(image, address) {
    try {
      const answer = await fetch(address, { cache: "no-cache" });
      if (!answer.ok) return false;
      const before = image.src;
      image.src = URL.createObjectURL(await answer.blob());
      await image.decode().catch(() => {});
      if (before) URL.revokeObjectURL(before);
      return true;
    } catch {
      return false;
    }
  }

  end() {
    this.ended = true;
  }

  fade(opacity) {
    this.opacity = opacity;
    if (this.heat) this.heat.style.opacity = opacity;
  }
}

export class StreamedPicture {
  constructor(root) {
    this.image = root.querySelector(".picture");
    this.heat = root.querySelector(".heat");
  }

  show({ picture, heat }) {
    if (picture) put(this.image, picture, "image/jpeg");
    if (heat) put(this.heat, heat, "image/png");
  }

  fade(opacity) {
    this.heat.style.opacity = opacity;
  }
}

function put(image, base64, type) {
  const before = image.src;
  image.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type }));
  if (before) URL.revokeObjectURL(before);
}

export function heatSlider(input, pictures) {
  input.value = localStorage.getItem(HEAT_KEY) ?? input.value;
  const apply = () => {
    localStorage.setItem(HEAT_KEY, input.value);
    for (const picture of pictures()) picture.fade(input.value / 100);
  };
  input.addEventListener("input", apply);
  return apply;
}
