def run(stage, transport): pass
