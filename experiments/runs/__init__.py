"""How is one run done and kept?"""
